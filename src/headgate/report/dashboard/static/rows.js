// The button that copies a command. Without it, or without leave to use the clipboard, the text can be selected.

for (const button of document.querySelectorAll("[data-copy]")) {
  const command = button.parentElement.querySelector("[data-command]");
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}
