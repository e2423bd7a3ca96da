function render({ model, el, signal }) {
  const label = make("div", { id: uniqueId(), className: "workbench-gauge-label" });
  const bar = make("meter", { min: 0, max: 1 });
  const said = make("div", { id: uniqueId(), className: "workbench-said" });
  bar.setAttribute("aria-labelledby", label.id);
  bar.setAttribute("aria-describedby", said.id);
  const box = make("div", { className: "workbench-gauge" }, [label, bar, said]);
  el.append(box);
  follow(model, signal, ["label", "fraction", "lines"], () => {
    label.textContent = model.get("label");
    bar.value = model.get("fraction");
    const lines = model.get("lines");
    bar.setAttribute("aria-valuetext", lines[0] ?? "");
    said.replaceChildren(...lines.map((line) => make("p", { textContent: line })));
    box.hidden = !lines.length;
  });
}

export default { render };
