function render({ model, el, signal }) {
  const input = make("select");
  el.append(labelled(model, signal, input));
  shield(el);
  follow(model, signal, ["options"], () => {
    input.replaceChildren(
      ...model.get("options").map(([value, text]) => make("option", { value, textContent: text })),
    );
    input.value = model.get("value");
  });
  follow(model, signal, ["value"], () => {
    input.value = model.get("value");
  });
  input.addEventListener("change", () => set(model, "value", input.value));
}

export default { render };
