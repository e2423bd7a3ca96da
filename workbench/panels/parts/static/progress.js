function render({ model, el, signal }) {
  const bar = make("progress", { max: 1 });
  const said = make("span", { className: "workbench-said" });
  const stop = make("button", { type: "button", textContent: "Stop" });
  el.append(make("div", { className: "workbench-progress" }, [bar, stop, said]));
  shield(el);
  follow(model, signal, ["label"], () => bar.setAttribute("aria-label", model.get("label")));
  follow(model, signal, ["fraction", "text", "running"], () => {
    const fraction = model.get("fraction");
    if (fraction < 0 && model.get("running")) bar.removeAttribute("value");
    else bar.value = Math.max(0, fraction);
    said.textContent = model.get("text");
    stop.disabled = !model.get("running");
    el.setAttribute("aria-busy", String(model.get("running")));
  });
  stop.addEventListener("click", () => model.send({ stop: true }));
}

export default { render };
