import { createClient, RESP_TYPES } from "@redis/client";
import process from "node:process";
import { eventWriter, type FrameWriter } from "../control/frame_writer.ts";
import { type Helper, readHelperCommands } from "../control/helper.ts";
import { reasonOf } from "../base/errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import {
  MAX_BYTES,
  type SealedEntry,
  type StoreCommand,
  type StoreEvent,
  type StoreStart,
} from "./store_messages.ts";

/** Time limits, in milliseconds: to connect and log in, and for the answer to a question. */
const CONNECT_LIMIT_MS = 5000;
const ANSWER_LIMIT_MS = 3000;
/** Three times what this process needs, since the client buffers an answer until it is complete. */
const MEMORY_LIMIT = 256 * 1024 * 1024;
const MEMORY_LOOK_MS = 20;

type Question = Exclude<StoreCommand, StoreStart>;

/**
 * Runs this process as the ticket store's helper (for Redis or Valkey), without privileges. It gets
 * and sets sealed values that it cannot open. It connects for the first question and stays
 * connected until one fails. It exits when its standard input ends, which means that the master has
 * exited.
 */
export function runStore(runtime: Pick<Runtime, "libc">): void {
  readHelperCommands(new StoreProcess(runtime));
  // As in `runHelper`.
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
}

class StoreProcess implements Helper<StoreCommand> {
  private readonly runtime: Pick<Runtime, "libc">;
  readonly events: FrameWriter;
  private settings: StoreStart | undefined;
  private client: Client | undefined;
  /** Why it cannot answer. */
  private trouble: string | undefined;

  constructor(runtime: Pick<Runtime, "libc">) {
    this.runtime = runtime;
    this.events = eventWriter(runtime.libc);
  }

  handle(command: StoreCommand): void {
    if (command.type === "start") this.start(command);
    else void this.answer(command);
  }

  internalError(error: unknown): void {
    this.trouble = `internal error: ${reasonOf(error)}`;
  }

  private start(settings: StoreStart): void {
    this.settings = settings;
    const { ids } = settings;
    try {
      // Without a chroot, since resolving names needs files.
      dropPrivileges(this.runtime.libc, ids && { ...ids, chroot: "" });
    } catch (error) {
      this.trouble = `its helper cannot become another user: ${reasonOf(error)}`;
    }
  }

  private async answer(question: Question): Promise<void> {
    const { number } = question;
    const watch = setInterval(() => {
      if (process.memoryUsage.rss() > MEMORY_LIMIT) this.giveUp(number);
    }, MEMORY_LOOK_MS);
    try {
      if (this.trouble !== undefined) throw new Error(this.trouble);
      const client = await inTime(this.connected(), CONNECT_LIMIT_MS, "connect");
      const values = question.type === "get"
        ? Promise.all(question.names.map((name) => get(client, name)))
        : Promise.all(question.entries.map((entry) => set(client, entry))).then(() => []);
      const answer = await inTime(values, ANSWER_LIMIT_MS, "answer");
      this.send({ type: "values", number, values: answer });
    } catch (error) {
      this.disconnect();
      this.send({ type: "failed", number, reason: reasonOf(error) || codeOf(error) });
    } finally {
      clearInterval(watch);
    }
  }

  /** Exits; the next process starts with little memory again. */
  private giveUp(number: number): void {
    this.disconnect();
    this.send({ type: "failed", number, reason: "it sends far more than was requested" });
    this.events.flush(() => process.exit(1));
  }

  private async connected(): Promise<Client> {
    if (this.client?.isReady) return this.client;
    this.disconnect();
    this.client = clientFor(this.settings!);
    // Each question reports it by its own failure.
    this.client.on("error", () => {});
    await this.client.connect();
    return this.client;
  }

  private disconnect(): void {
    if (this.client?.isOpen) this.client.destroy();
    this.client = undefined;
  }

  private send(report: StoreEvent): void {
    this.events.send(report);
  }
}

type Client = ReturnType<typeof clientFor>;

/** Throws an Error if the URL cannot be used. */
function clientFor({ url, ca }: StoreStart) {
  return createClient({
    url,
    // The protocol that all server versions support.
    RESP: 2,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: "disabled",
    socket: {
      connectTimeout: CONNECT_LIMIT_MS,
      reconnectStrategy: false,
      ...(ca === undefined ? {} : { tls: true, ca }),
    },
  });
}

/**
 * Returns base64, or null for a missing entry. Long values are truncated, other types are empty.
 */
async function get(client: Client, name: string): Promise<string | null> {
  try {
    const value = await client.sendCommand<unknown>(["GETRANGE", name, "0", `${MAX_BYTES - 1}`], {
      typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer },
    });
    if (!Buffer.isBuffer(value)) throw new Error("its answer does not match the request");
    // If a store ignores the range, the event must still be valid.
    const bytes = value.subarray(0, MAX_BYTES);
    return bytes.length === 0 ? null : bytes.toString("base64");
  } catch (error) {
    if (reasonOf(error).startsWith("WRONGTYPE")) return "";
    throw error;
  }
}

async function set(client: Client, { name, value, ttl, onlyNew }: SealedEntry): Promise<void> {
  const bytes = Buffer.from(value, "base64");
  const words = ["SET", name, bytes, "PX", `${ttl}`];
  await client.sendCommand(onlyNew ? [...words, "NX"] : words);
}

async function inTime<T>(promise: Promise<T>, limit: number, what: string): Promise<T> {
  let timer: ReturnType<typeof setTimeout>;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${limit / 1000} s`)), limit);
  });
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer!);
  }
}

/** Returns the error's code: for a name with several addresses, the error has no message. */
function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown }).code);
}
