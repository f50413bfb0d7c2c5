// Asks a person for the token. It is kept in this tab only, and never in an address.

import type { TokenReason } from "../../client/src/index.js";

const KEY = "walgate-token";

/** Why a person is asked. */
type Why = "none" | "refused" | "expires";

const WORDS: Record<Exclude<Why, "none">, [title: string, text: string]> = {
  refused: ["A token is needed", "The server does not take this token, or not any more."],
  expires: ["The token ends soon", "Give another one, and nothing is interrupted. It is asked for again when the old one has ended."],
};

/** The parts of the page that it is made of. */
export interface TokenDialog {
  dialog: HTMLDialogElement;
  title: HTMLElement;
  why: HTMLElement;
  input: HTMLInputElement;
  later: HTMLButtonElement;
  /** Where it is said to who does not see it. */
  announcer: HTMLElement;
}

export class TokenPrompt {
  /** Streams that wait for what the person says. */
  private waiting: ((token: string | undefined) => void)[] = [];
  private isUrgent = false;
  /** The person does not want to be asked before this one has ended. */
  private declined: string | undefined;

  constructor(private readonly parts: TokenDialog) {
    const { dialog, input, later } = parts;
    // Not when it has closed: that is told later, and somebody else may have asked meanwhile.
    input.form?.addEventListener("submit", () => this.settle(input.value.trim() || undefined));
    later.addEventListener("click", () => this.putOff());
    // There is nothing behind it that could be used without a token, unless the old one is still good.
    dialog.addEventListener("cancel", (event) => this.isUrgent && event.preventDefault());
    // A dialog that is not modal hears of no such key by itself.
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !this.isUrgent) this.putOff();
    });
    dialog.addEventListener("close", () => {
      // Browsers let a second Escape through.
      if (!dialog.open && this.isUrgent && this.waiting.length > 0) this.open();
    });
  }

  /** The token that is known, if there is one. */
  get token(): string | undefined {
    return sessionStorage.getItem(KEY) ?? undefined;
  }

  /** For the streams: what is kept, and what the person says when that is refused or ends soon. */
  source(): (reason: TokenReason) => Promise<string | undefined> {
    let last: string | undefined;
    return async (reason) => {
      const kept = this.token;
      // Another stream may have asked already.
      if (reason === "start" || kept !== last) {
        last = kept;
        return kept;
      }
      if (reason === "expires" && kept === this.declined) return undefined;
      let given: string | undefined;
      do {
        const why = reason === "expires" ? "expires" : kept === undefined ? "none" : "refused";
        given = await this.ask(why);
        // What can wait is put off; what can't is asked again.
      } while (given === undefined && reason !== "expires");
      last = given ?? last;
      return given;
    };
  }

  private ask(why: Why): Promise<string | undefined> {
    return new Promise((resolve) => {
      const { dialog, title, why: text } = this.parts;
      this.waiting.push(resolve);
      if (dialog.open && (this.isUrgent || why === "expires")) return;
      this.isUrgent = why !== "expires";
      if (why !== "none") [title.textContent, text.textContent] = WORDS[why];
      this.open();
    });
  }

  private open(): void {
    const { dialog, title, why, input, later, announcer } = this.parts;
    later.hidden = this.isUrgent;
    // A dialog can't become modal while it is open.
    if (dialog.open) dialog.close();
    if (this.isUrgent) {
      dialog.showModal();
      input.focus();
      return;
    }
    const focused = document.activeElement;
    dialog.show();
    // Who is in the middle of something is not torn out of it.
    if (focused instanceof HTMLElement) focused.focus();
    announcer.textContent = `${title.textContent}. ${why.textContent}`;
  }

  private putOff(): void {
    this.declined = this.token;
    this.parts.dialog.close();
    this.settle(undefined);
  }

  private settle(token: string | undefined): void {
    this.parts.input.value = "";
    if (token !== undefined) sessionStorage.setItem(KEY, token);
    for (const tell of this.waiting.splice(0)) tell(token);
  }
}
