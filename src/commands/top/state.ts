/** What the keys of `stud top` change. */

export interface State {
  readonly isPaused: boolean;
  readonly showsHelp: boolean;
  /** Index into {@link SORT_KEYS}. */
  readonly sort: number;
  readonly isReversed: boolean;
  /** Workers above the first one that is shown. */
  readonly scroll: number;
}

/** The columns of the workers' table that can be sorted by. */
export const SORT_KEYS = [
  "WORKER",
  "PID",
  "GEN",
  "STATE",
  "OPEN",
  "ACC/S",
  "MEMORY",
  "DELAY",
] as const;

export const START: State = {
  isPaused: false,
  showsHelp: false,
  sort: 0,
  isReversed: false,
  scroll: 0,
};

export type Effect = "quit" | "suspend" | "redraw";

/** Splits what a terminal sends into keys; an arrow is a sequence of ECMA-48 or of its keypad mode. */
export function keysOf(text: string): string[] {
  // deno-lint-ignore no-control-regex
  return text.match(/\x1b[[O][0-9;]*[A-Za-z~]|[^]/gu) ?? [];
}

/** Returns the state after a key, or what else it requests. */
export function press(state: State, key: string): State | Effect {
  const count = SORT_KEYS.length;
  switch (key.replace("\x1bO", "\x1b[")) {
    case "q":
    case "Q":
    case "\x03":
      return "quit";
    case "\x1a":
      return "suspend";
    case "\x0c":
      return "redraw";
    case "p":
    case " ":
      return { ...state, isPaused: !state.isPaused };
    case "s":
    case "\x1b[C":
      return { ...state, sort: (state.sort + 1) % count, isReversed: false, scroll: 0 };
    case "\x1b[D":
      return { ...state, sort: (state.sort + count - 1) % count, isReversed: false, scroll: 0 };
    case "r":
      return { ...state, isReversed: !state.isReversed };
    case "\x1b[B":
      return { ...state, scroll: state.scroll + 1 };
    case "\x1b[A":
      return { ...state, scroll: Math.max(0, state.scroll - 1) };
    case "?":
    case "h":
      return { ...state, showsHelp: !state.showsHelp };
    case "\x1b":
      return { ...state, showsHelp: false };
    default:
      return state;
  }
}
