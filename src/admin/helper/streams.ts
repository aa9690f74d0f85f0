import type { ServerResponse } from "node:http";
import { systemClock } from "../../base/clock.ts";
import type { Client } from "./clients.ts";
import type { Snapshots } from "./snapshots.ts";

/** Clients of `/events` at the same time. */
export const MAX_STREAMS = 32;
/** Interval of events, in milliseconds. */
const INTERVAL_MS = 1000;

/**
 * Sends the status once a second to the clients of `/events` (server-sent events, HTML section 9.2). A
 * client that does not keep up gets fewer events.
 */
export class Streams {
  private readonly snapshots: Snapshots;
  /** With whether it has not read the last event yet. */
  private readonly all = new Map<ServerResponse, { readonly client: Client; isFull: boolean }>();
  private isTicking = false;

  constructor(snapshots: Snapshots) {
    this.snapshots = snapshots;
  }

  get isFull(): boolean {
    return this.all.size >= MAX_STREAMS;
  }

  /** Begins with a response whose header is written. */
  add(response: ServerResponse, client: Client): void {
    const stream = { client, isFull: false };
    this.all.set(response, stream);
    response.on("close", () => this.all.delete(response));
    response.on("drain", () => {
      stream.isFull = false;
      client.caughtUp();
    });
    response.write("retry: 2000\n\n");
    void this.send([response]);
    this.tick();
  }

  /** Ends all streams. */
  end(): void {
    for (const [response, { client }] of this.all) {
      client.answering();
      response.end();
    }
    this.all.clear();
  }

  private tick(): void {
    if (this.isTicking || this.all.size === 0) return;
    this.isTicking = true;
    systemClock.after(INTERVAL_MS, () => {
      this.isTicking = false;
      void this.send([...this.all.keys()]);
      this.tick();
    });
  }

  private async send(responses: readonly ServerResponse[]): Promise<void> {
    let event: string;
    try {
      event = `event: status\ndata: ${JSON.stringify(await this.snapshots.get())}\n\n`;
    } catch {
      // Clients see that no event comes; the next one may.
      return;
    }
    for (const response of responses) {
      const stream = this.all.get(response);
      if (!stream || stream.isFull) continue;
      stream.isFull = !response.write(event);
      if (stream.isFull) stream.client.answering();
    }
  }
}
