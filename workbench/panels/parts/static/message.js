function render({ model, el, signal }) {
  // The region is there before its text is: only then is a change of it read out.
  const box = make("div", { className: "workbench-message", role: "alert" });
  el.append(box);
  follow(model, signal, ["text"], () => {
    box.replaceChildren(...(model.get("text") ? [make("p", { textContent: model.get("text") })] : []));
    box.hidden = !model.get("text");
  });
}

export default { render };
