function render({ model, el, signal }) {
  const input = make("input", { type: "range" });
  const shown = make("output", { className: "workbench-value" });
  const places = (step) => Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9)));
  const words = (value) => {
    if (model.get("lowest") && value === model.get("min")) return model.get("lowest");
    const rounded = Number(value).toFixed(places(model.get("step"))).replace("-", "\u2212");
    return model.get("unit") ? `${rounded} ${model.get("unit")}` : rounded;
  };
  el.append(labelled(model, signal, input, [shown]));
  shield(el);
  follow(model, signal, ["min", "max", "step", "value", "unit", "lowest"], () => {
    for (const name of ["min", "max", "step"]) input.setAttribute(name, model.get(name));
    if (Number(input.value) !== model.get("value")) input.value = model.get("value");
    shown.textContent = words(model.get("value"));
    input.setAttribute("aria-valuetext", words(model.get("value")));
  });
  input.addEventListener("input", () => set(model, "value", Number(input.value)));
}

export default { render };
