/** A terminal whose screen can be read: a tmux server of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./commands.ts";
import { until } from "./until.ts";

export class Tmux {
  readonly #directory = mkdtempSync(join(tmpdir(), "stud-tmux-"));

  /** Starts a shell in a terminal of 80x24. */
  static async start(): Promise<Tmux> {
    const tmux = new Tmux();
    const size = ["-x", "80", "-y", "24"];
    await tmux.#do(["-f", "/dev/null", "new-session", "-d", ...size, "sh"]);
    return tmux;
  }

  /** Types a line of text and Enter. */
  async line(text: string): Promise<void> {
    await this.#do(["send-keys", "-l", text]);
    await this.keys("Enter");
  }

  /** Presses keys, by their names in tmux(1). */
  async keys(...names: readonly string[]): Promise<void> {
    await this.#do(["send-keys", ...names]);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#do(["resize-window", "-x", String(columns), "-y", String(rows)]);
  }

  /** The lines on the screen; with their styles as escape sequences if `styled`. */
  async screen(styled = false): Promise<string> {
    return await this.#do(["capture-pane", "-p", ...(styled ? ["-e"] : [])]);
  }

  /** Waits until the screen matches; returns it. */
  async shows(pattern: RegExp): Promise<string> {
    let screen = "";
    try {
      await until(
        async () => pattern.test(screen = await this.screen()),
        `${pattern} on the screen`,
      );
    } catch (error) {
      throw new Error(`${error}; it shows:\n${screen}`);
    }
    return screen;
  }

  /** Ends the server and everything in it. */
  async close(): Promise<void> {
    await this.#do(["kill-server"]);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #do(args: readonly string[]): Promise<string> {
    const socket = join(this.#directory, "socket");
    const { code, stdout, stderr } = await run("tmux", ["-u", "-S", socket, ...args]);
    if (code !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`);
    return stdout;
  }
}
