function render({ model, el, signal }) {
  const input = make("input", { type: "file", accept: "image/*" });
  const text = make("span");
  el.append(make("label", { className: "workbench-upload" }, [input, text]));
  shield(el);
  follow(model, signal, ["label", "disabled"], () => {
    text.textContent = model.get("label");
    input.disabled = model.get("disabled");
  });
  input.addEventListener("change", async () => {
    const file = input.files[0];
    if (!file) return;
    const buffer = await file.arrayBuffer();
    model.send({ uploaded: file.name }, undefined, [buffer]);
    input.value = "";
  });
}

export default { render };
