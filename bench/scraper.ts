/** Scrapes an admin endpoint once a second, as Prometheus does. */
import { Agent, get } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

export class Scraper {
  readonly #socket: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  readonly #timer: NodeJS.Timeout;
  #scrapes = 0;
  #problem = "";

  /** `socket` is the path of a Unix socket. */
  constructor(socket: string) {
    this.#socket = socket;
    this.#timer = setInterval(() => this.#scrape(), 1000);
  }

  /** Waits for the first answer; throws if there is none within 15 s. */
  async begun(): Promise<void> {
    for (let i = 0; i < 300 && this.#scrapes === 0; i++) await pause(50);
    this.check();
  }

  /** Throws if there has been no answer yet, or a failure since the first one. */
  check(): void {
    if (this.#scrapes === 0) throw new Error(`no scrape of /metrics so far: ${this.#problem}`);
    if (this.#problem !== "") throw new Error(`a scrape of /metrics failed: ${this.#problem}`);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#agent.destroy();
  }

  #scrape(): void {
    const headers = { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" };
    const place = { socketPath: this.#socket, path: "/metrics", agent: this.#agent, headers };
    get(place, (response) => {
      response.on("error", (error) => this.#problem = error.message).resume();
      response.on("end", () => {
        if (response.statusCode !== 200) this.#problem = `status ${response.statusCode}`;
        // What failed before the program listened does not count.
        else if (this.#scrapes++ === 0) this.#problem = "";
      });
    }).on("error", (error) => this.#problem = error.message);
  }
}
