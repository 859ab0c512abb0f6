/** Asks before something that cannot be taken back. */
import { button, part } from "./view.ts";

/** Whether the person said yes. Esc is no. */
export function confirmed(question: { heading: string; text: string; yes: string }): Promise<boolean> {
  const dialog = part("confirm", HTMLDialogElement);
  part("confirm-heading", HTMLElement).textContent = question.heading;
  part("confirm-text", HTMLElement).textContent = question.text;
  button("confirm-yes").textContent = question.yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true });
  });
}
