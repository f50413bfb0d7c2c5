// Light, dark, or as the system has it.

const CHOICES = ["system", "light", "dark"] as const;
const WORDS = { system: "as the system has them", light: "light", dark: "dark" };
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

type Choice = (typeof CHOICES)[number];

/** A button that goes through the choices; `changed` is called after each. */
export function themeSwitch(button: HTMLButtonElement, changed: () => void): void {
  const stored = localStorage.getItem("walgate-colours");
  let choice: Choice = CHOICES.find((one) => one === stored) ?? "system";
  const apply = () => {
    if (choice === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = choice;
    button.setAttribute("aria-label", `Colours: ${WORDS[choice]}`);
    const sign = button.querySelector("span");
    if (sign) sign.textContent = SIGNS[choice];
    changed();
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? "system";
    localStorage.setItem("walgate-colours", choice);
    apply();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  apply();
}
