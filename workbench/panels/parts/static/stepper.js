function render({ model, el, signal }) {
  const input = make("input", { type: "number" });
  const back = make("button", { type: "button", textContent: "\u25c0" });
  const on = make("button", { type: "button", textContent: "\u25b6" });
  const within = (value) => Math.min(model.get("max"), Math.max(model.get("min"), Math.round(value)));
  const go = (value) => set(model, "value", within(value));
  const field = labelled(model, signal, input, []);
  const row = make("div", { className: "workbench-stepper" });
  input.replaceWith(row);
  row.append(back, input, on);
  el.append(field);
  shield(el);
  follow(model, signal, ["min", "max", "value", "label", "disabled"], () => {
    const [low, high, value] = [model.get("min"), model.get("max"), model.get("value")];
    input.min = low;
    input.max = high;
    if (input.value === "" || Number(input.value) !== value) input.value = value;
    for (const [button, word, end] of [[back, "Previous", low], [on, "Next", high]]) {
      button.setAttribute("aria-label", `${word} ${model.get("label").toLowerCase()}`);
      button.title = `${word} ${model.get("label").toLowerCase()} (arrow keys)`;
      // Not `disabled`: a button that is disabled under the finger loses the keyboard's focus.
      button.setAttribute("aria-disabled", String(model.get("disabled") || value === end));
    }
  });
  back.addEventListener("click", () => go(model.get("value") - 1));
  on.addEventListener("click", () => go(model.get("value") + 1));
  input.addEventListener("change", () => {
    if (input.value !== "" && Number.isFinite(input.valueAsNumber)) go(input.valueAsNumber);
    input.value = model.get("value");
  });
  el.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    const typing = event.target === input && (event.key === "ArrowLeft" || event.key === "ArrowRight");
    if (!(event.key in steps) || typing || model.get("disabled")) return;
    event.preventDefault();
    go(model.get("value") + steps[event.key]);
  });
}

export default { render };
