function render({ model, el, signal }) {
  const button = make("button", { type: "button" });
  const hint = make("span", { id: uniqueId(), className: "workbench-said" });
  el.append(make("div", { className: "workbench-actions" }, [button, hint]));
  button.setAttribute("aria-describedby", hint.id);
  shield(el);
  follow(model, signal, ["label", "hint", "disabled"], () => {
    button.textContent = model.get("label");
    hint.textContent = model.get("hint");
    // Not `disabled`: a button that is disabled under the finger loses the keyboard's focus.
    button.setAttribute("aria-disabled", String(model.get("disabled")));
  });
  button.addEventListener("click", () => {
    if (!model.get("disabled")) model.send({ pressed: true });
  });
}

export default { render };
