// One image element for the whole life of the view: a new source does not make the page jump or flicker.
function render({ model, el, signal }) {
  const image = make("img", { className: "workbench-picture" });
  el.append(image);
  follow(model, signal, ["source", "alt", "width"], () => {
    image.alt = model.get("alt");
    image.width = model.get("width");
    image.hidden = !model.get("source");
    if (model.get("source")) image.src = model.get("source");
  });
  follow(model, signal, ["busy"], () => el.setAttribute("aria-busy", String(model.get("busy"))));
}

export default { render };
