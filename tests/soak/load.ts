/** Clients of every kind, each of which checks the answers; all run until `stop`. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { ConnectionOptions } from "node:tls";
import { exchange, openTcp, openTls, PARTIAL_HELLO } from "../support/client.ts";
import type { Endpoint } from "../support/endpoints.ts";
import { within } from "../support/until.ts";

/** The number of successful ones. */
export interface Counts {
  connections: number;
  resumptions: number;
  bulkMegabytes: number;
  vanished: number;
  /** What went wrong, at most 20 of them. */
  readonly failures: string[];
}

const BULK = randomBytes(1024 * 1024);
const BULK_HASH = hash(BULK);
const VERSIONS = ["TLSv1.2", "TLSv1.3"] as const;

export class Load {
  readonly counts: Counts = {
    connections: 0,
    resumptions: 0,
    bulkMegabytes: 0,
    vanished: 0,
    failures: [],
  };
  private readonly endpoint: Endpoint;
  private isOver = false;
  private readonly running: Promise<void>[];

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
    const visits = [() => this.connect(), () => this.resume(), () => this.bulk()];
    this.running = [...visits, visits[0]!, visits[0]!, () => this.vanish()]
      .map((visit) => this.repeat(visit));
  }

  /** Fulfilled when all clients have ended. */
  async stop(): Promise<void> {
    this.isOver = true;
    await Promise.all(this.running);
  }

  private async repeat(visit: () => Promise<void>): Promise<void> {
    while (!this.isOver) {
      try {
        await visit();
      } catch (error) {
        if (this.counts.failures.length < 20) this.counts.failures.push(String(error));
        // Constant failures must not keep the processor busy.
        await new Promise((resume) => setTimeout(resume, 100));
      }
    }
  }

  private async connect(): Promise<void> {
    const version = VERSIONS[this.counts.connections % 2]!;
    const request = randomBytes(1000);
    const answer = await exchange(this.endpoint, request, only(version));
    if (!answer.equals(request)) throw new Error("an answer is not what was sent");
    this.counts.connections++;
  }

  /** Connects twice, the second time with the session of the first; another worker may not know it. */
  private async resume(): Promise<void> {
    let session: Buffer | undefined;
    for (let i = 0; i < 2; i++) {
      const client = await openTls(this.endpoint, {
        ...only("TLSv1.3"),
        ...(session && { session }),
      });
      try {
        client.on("session", (made) => session = made);
        client.write("hello");
        await within(once(client, "data"), "an answer");
        if (client.isSessionReused()) this.counts.resumptions++;
      } finally {
        client.destroy();
      }
    }
  }

  private async bulk(): Promise<void> {
    const answer = await exchange(this.endpoint, BULK, only("TLSv1.3"));
    if (hash(answer) !== BULK_HASH) throw new Error("a bulk answer is not what was sent");
    this.counts.bulkMegabytes++;
  }

  /** In the middle of the handshake. */
  private async vanish(): Promise<void> {
    const client = await openTcp(this.endpoint);
    await new Promise((written) => client.write(PARTIAL_HELLO, written));
    client.resetAndDestroy();
    this.counts.vanished++;
  }
}

function only(version: "TLSv1.2" | "TLSv1.3"): ConnectionOptions {
  return { minVersion: version, maxVersion: version };
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
