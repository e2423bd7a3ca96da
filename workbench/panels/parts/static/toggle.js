function render({ model, el, signal }) {
  const input = make("input", { type: "checkbox" });
  const text = make("span");
  const label = make("label", { className: "workbench-toggle" }, [input, text]);
  el.append(label);
  shield(el);
  follow(model, signal, ["label", "hint", "disabled", "value"], () => {
    text.textContent = model.get("label");
    label.title = model.get("hint");
    input.disabled = model.get("disabled");
    input.checked = model.get("value");
  });
  input.addEventListener("change", () => set(model, "value", input.checked));
}

export default { render };
