/** The text that was typed, as a terminal shows it: lines that wrap and scroll, with a caret at the end. */
import { MISSING } from "./font.ts";
import { type Key, readKey } from "./keysyms.ts";

/** A cell holds an ASCII code, plus `NAMED` where the name of a key is shown; 0 is empty, `CARET` the caret. */
export const NAMED = 0x80;
export const CARET = 1;

const PROMPT = [...Buffer.from("> ", "ascii")];
/** A line no longer than this many cells, so that a held key costs no memory. */
const MAX_LINE = 4096;

/** Rows of cells: those above the line that is being typed, and that line. */
export type TerminalText = { above: number[][]; line: number[] };

export class Terminal {
  readonly columns: number;
  readonly rows: number;
  /** Rows above the line that is being typed: oldest first, no more than fit. */
  #above: number[][] = [];
  #line = [...PROMPT];
  /** Keysyms of the modifiers that are down, with their names. */
  readonly #held = new Map<number, string>();

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  /** Names of the modifier keys that are down, in the order they were pressed. */
  get held(): string[] {
    return [...new Set(this.#held.values())];
  }

  /** The text, as another terminal can show it from here on. */
  get text(): TerminalText {
    return { above: this.#above, line: this.#line };
  }

  set text({ above, line }: TerminalText) {
    this.#above = above.slice(-this.rows);
    this.#line = line.slice(0, MAX_LINE - 1);
  }

  clear(): void {
    this.#above = [];
    this.#line = [...PROMPT];
    this.#held.clear();
  }

  /** No modifier is down any more: whoever held them has left. */
  release(): void {
    this.#held.clear();
  }

  /** A key went down or up; `scancode` as in `readKey`. Only presses are shown; modifiers with the key they change. */
  key(keysym: number, down: boolean, scancode: number | null): void {
    const key = readKey(keysym, scancode);
    if (key.kind === "modifier") {
      if (down) this.#held.set(keysym, key.name);
      else this.#held.delete(keysym);
    } else if (down) {
      this.#press(key);
    }
  }

  /** Text as it comes from a client's clipboard: line ends make new lines, other controls are dropped. */
  paste(text: string): void {
    for (const char of text.slice(-this.columns * this.rows)) {
      const code = char.codePointAt(0) ?? 0;
      if (char === "\n") this.#enter();
      else if (code >= 0x20) this.#type(Math.min(code, MISSING));
    }
  }

  /** A line of the machine's own, above the one that is being typed. */
  print(text: string): void {
    const line = [...text].map((char) => Math.min(char.codePointAt(0) ?? 0, MISSING));
    this.#above = [...this.#above, ...this.#wrap(line)].slice(-this.rows);
  }

  /** All cells as they are to be shown, `rows` times `columns`, the caret among them. */
  view(): Uint8Array {
    const shown = [...this.#above, ...this.#wrap([...this.#line, CARET])].slice(-this.rows);
    const cells = new Uint8Array(this.rows * this.columns);
    for (const [y, row] of shown.entries()) cells.set(row, y * this.columns);
    return cells;
  }

  #press(key: Exclude<Key, { kind: "modifier" }>): void {
    const chord = this.held.filter((name) => name !== "Shift" && name !== "AltGr");
    if (key.kind === "text" && chord.length === 0) this.#type(key.code);
    else if (key.kind === "enter") this.#enter();
    else if (key.kind === "erase") this.#erase();
    else this.#name([...chord, key.kind === "text" ? String.fromCharCode(key.code) : key.name].join("+"));
  }

  #type(code: number): void {
    this.#line.push(code);
    if (this.#line.length >= MAX_LINE) this.#enter();
  }

  #name(name: string): void {
    for (const code of Buffer.from(`<${name}>`, "ascii")) this.#type((code & 0x7f) | NAMED);
  }

  #enter(): void {
    this.#above = [...this.#above, ...this.#wrap(this.#line)].slice(-this.rows);
    this.#line = [...PROMPT];
  }

  /** Takes back one character, or the whole name of a key. */
  #erase(): void {
    if (this.#line.length <= PROMPT.length) return;
    const last = this.#line.pop() ?? 0;
    if ((last & NAMED) === 0) return;
    while (this.#line.length > PROMPT.length && this.#line.pop() !== (0x3c | NAMED));
  }

  #wrap(line: number[]): number[][] {
    const rows: number[][] = [];
    for (let at = 0; at < line.length; at += this.columns) rows.push(line.slice(at, at + this.columns));
    return rows;
  }
}
