/** The terminal while `stud top` shows a screen of its own, and how it is given back. */
import process from "node:process";
import { constants } from "node:os";
import { print } from "../../base/print.ts";
import { SubcommandError } from "../../options/subcommand.ts";
import { difference, type Line, shown } from "./styled.ts";
import type { Size } from "./view.ts";

export interface Events {
  key(text: string): void;
  /** The screen has another size, or others have written on it. */
  redraw(): void;
  /** The terminal is gone. */
  end(): void;
}

/** The alternate screen, without cursor and line wrap. */
const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H\x1b[2J";
const LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/** Signals that end this program, once the terminal is given back. */
const ENDINGS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/** What a terminal without a size is taken for. */
const DEFAULT_SIZE: Size = { columns: 80, rows: 24 };

/** Throws a SubcommandError if this is no terminal that can show a screen. */
export function requireTerminal(): void {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new SubcommandError("top: this is not a terminal; use stud status in scripts");
  }
  const { TERM = "" } = process.env;
  if (TERM === "" || TERM === "dumb") {
    throw new SubcommandError(
      `top: this terminal cannot show a screen (TERM is ${JSON.stringify(TERM)}); use stud status`,
    );
  }
}

/** The terminal in raw mode; keys arrive as events. */
export class Terminal {
  readonly #events: Events;
  readonly #isColoured = !process.env.NO_COLOR;
  #before: readonly string[] = [];
  #isOurs = false;

  constructor(events: Events) {
    this.#events = events;
    for (const name of ENDINGS) {
      process.on(name, () => {
        this.leave();
        process.exit(128 + constants.signals[name]);
      });
    }
    process.on("SIGTSTP", () => this.suspend(process.pid));
    process.on("SIGCONT", () => this.#take());
    process.on("SIGWINCH", () => this.#clear());
    // An exception must not leave the shell without echo.
    process.on("exit", () => this.leave());
    process.stdin.setEncoding("utf8").on("data", (text) => events.key(String(text)));
    process.stdin.on("end", () => events.end()).on("error", () => events.end());
    this.#take();
    process.stdin.resume();
  }

  size(): Size {
    const { columns, rows } = process.stdout;
    return columns > 0 && rows > 0 ? { columns, rows } : DEFAULT_SIZE;
  }

  /** Shows the lines; writes only what has changed. */
  show(lines: readonly Line[]): void {
    if (!this.#isOurs) return;
    const { columns } = this.size();
    const next = lines.map((line) => shown(line, columns, this.#isColoured));
    this.#write(difference(this.#before, next));
    this.#before = next;
  }

  redraw(): void {
    this.#clear();
  }

  /** Gives the terminal back and stops, as Ctrl-Z does; 0 means all processes of this job. */
  suspend(pid = 0): void {
    this.leave();
    process.kill(pid, "SIGSTOP");
  }

  /** Gives the terminal back; may be called at any time. */
  leave(): void {
    if (!this.#isOurs) return;
    this.#isOurs = false;
    this.#write(LEAVE);
    try {
      process.stdin.setRawMode(false);
    } catch {
      // It is gone.
    }
  }

  #take(): void {
    try {
      process.stdin.setRawMode(true);
    } catch {
      return this.#events.end();
    }
    this.#isOurs = true;
    this.#write(ENTER);
    this.#before = [];
    this.#events.redraw();
  }

  #clear(): void {
    if (!this.#isOurs) return;
    this.#write("\x1b[2J");
    this.#before = [];
    this.#events.redraw();
  }

  #write(text: string): void {
    if (text === "") return;
    try {
      print(text);
    } catch {
      this.#events.end();
    }
  }
}
