// A picture of points: a click says where it was, as shares of the picture's width and height.
function render({ model, el, signal }) {
  const image = make("img", { className: "workbench-picture" });
  const said = make("p", { className: "workbench-said" });
  said.setAttribute("aria-live", "polite");
  el.append(make("div", { className: "workbench-points" }, [image, said]));
  follow(model, signal, ["source", "alt", "width"], () => {
    image.alt = model.get("alt");
    image.width = model.get("width");
    image.hidden = said.hidden = !model.get("source");
    if (model.get("source")) image.src = model.get("source");
  });
  follow(model, signal, ["busy"], () => el.setAttribute("aria-busy", String(model.get("busy"))));
  follow(model, signal, ["said", "hint"], () => {
    said.textContent = model.get("said") || model.get("hint");
  });
  image.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const [across, down] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    model.send({ point: [across, down] });
  });
}

export default { render };
