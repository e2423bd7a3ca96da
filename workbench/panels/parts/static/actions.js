// The export row: the kernel makes a file when asked, the browser saves it; the code is copied from here.
function render({ model, el, signal }) {
  const said = make("span", { className: "workbench-said", role: "status" });
  const code = make("textarea", { readOnly: true, spellcheck: false, rows: 8 });
  code.setAttribute("aria-label", "Code that makes what is shown");
  const copy = make("button", { type: "button", textContent: "Copy as code" });
  const buttons = model.get("formats").map(([key, text, title]) => {
    const button = make("button", { type: "button", textContent: text, title });
    button.setAttribute("aria-label", title);
    button.addEventListener("click", () => {
      said.textContent = `Making ${text} \u2026`;
      model.send({ wanted: key });
    });
    return button;
  });
  const shown = make("details", { className: "workbench-code" }, [
    make("summary", { textContent: "Show code" }),
    code,
  ]);
  const row = make("div", { className: "workbench-actions" }, [copy, ...buttons, said]);
  el.append(row, shown);
  shield(el);
  follow(model, signal, ["code"], () => {
    code.value = model.get("code");
    code.rows = Math.min(16, model.get("code").split("\n").length + 1);
  });
  follow(model, signal, ["ready"], () => {
    for (const button of [copy, ...buttons]) button.disabled = !model.get("ready");
  });
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("code"));
      said.textContent = "Copied. Paste it into a cell.";
    } catch {
      // Without a secure page there is no clipboard: select the text, so that the keyboard can copy it.
      shown.open = true;
      code.focus();
      code.select();
      said.textContent = "The browser does not allow copying: press Ctrl+C.";
    }
  });
  const receive = (message, buffers) => {
    if (message.problem) said.textContent = message.problem;
    if (!message.file) return;
    const link = make("a", { download: message.file });
    link.href = URL.createObjectURL(new Blob([buffers[0]], { type: message.type }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    said.textContent = `Saved ${message.file}`;
  };
  model.on("msg:custom", receive);
  signal.addEventListener("abort", () => model.off("msg:custom", receive));
}

export default { render };
