/** `stud top`: asks for the status at intervals and shows it until a key ends it. */
import type { Given } from "../../options/subcommands.ts";
import { SubcommandError } from "../../options/subcommand.ts";
import type { Status } from "../../status/status.ts";
import { askStatus } from "../document.ts";
import { findService, type Service } from "../service.ts";
import { NO_RATES, type Rates, ratesBetween } from "./rates.ts";
import type { Model } from "./sections.ts";
import { keysOf, press, START, type State } from "./state.ts";
import { requireTerminal, Terminal } from "./terminal.ts";
import { view } from "./view.ts";

const DEFAULT_SECONDS = 1;

/** Shows a live view; returns the exit code. Throws a SubcommandError if there is nothing to show. */
export async function top({ interval = DEFAULT_SECONDS, ...given }: Given<"top">): Promise<number> {
  requireTerminal();
  const service = findService(given);
  const live = new Live(service, await askStatus(service), interval * 1000);
  return await live.ended;
}

class Live {
  /** The exit code. */
  readonly ended: Promise<number>;
  readonly #service: Service;
  readonly #end: (code: number) => void;
  readonly #fail: (error: unknown) => void;
  readonly #terminal: Terminal;
  #status: Status;
  #rates: Rates = NO_RATES;
  #state: State = START;
  /** Why the last request failed, and since when requests fail. */
  #fault: { readonly reason: string; readonly since: number } | undefined;

  constructor(service: Service, status: Status, intervalMs: number) {
    this.#service = service;
    this.#status = status;
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.ended = promise;
    this.#end = resolve;
    this.#fail = reject;
    this.#terminal = new Terminal({
      key: (text) => this.#keys(text),
      redraw: () => this.#draw(),
      end: () => this.#stop(0),
    });
    this.#draw();
    this.#askAfter(intervalMs);
  }

  #askAfter(ms: number): void {
    setTimeout(() => {
      this.#ask().then(() => this.#askAfter(ms), (error) => {
        this.#terminal.leave();
        this.#fail(error);
      });
    }, ms);
  }

  async #ask(): Promise<void> {
    if (this.#state.isPaused) return;
    try {
      const next = await askStatus(this.#service);
      // The data of a paused view stay as they are.
      if (this.#state.isPaused) return;
      this.#rates = ratesBetween(this.#status, next);
      this.#status = next;
      this.#fault = undefined;
    } catch (error) {
      if (!(error instanceof SubcommandError)) throw error;
      const since = this.#fault?.since ?? performance.now();
      this.#fault = { reason: error.problems[0] ?? "", since };
      this.#rates = NO_RATES;
    }
    this.#draw();
  }

  #keys(text: string): void {
    for (const key of keysOf(text)) {
      const next = press(this.#state, key);
      if (next === "quit") return this.#stop(0);
      if (next === "suspend") this.#terminal.suspend();
      else if (next === "redraw") this.#terminal.redraw();
      else this.#state = next;
    }
    this.#draw();
  }

  #stop(code: number): void {
    this.#terminal.leave();
    this.#end(code);
  }

  #draw(): void {
    // The terminal's first event comes from its constructor.
    const terminal: Terminal | undefined = this.#terminal;
    terminal?.show(view(this.#model(), terminal.size()));
  }

  #model(): Model {
    const fault = this.#fault;
    return {
      status: this.#status,
      rates: this.#rates,
      state: this.#state,
      ...(fault && {
        away: { reason: fault.reason, seconds: (performance.now() - fault.since) / 1000 },
      }),
    };
  }
}
