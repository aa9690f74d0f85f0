/** Starts a child process of the master as a separate program, without a master. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import * as runtime from "#runtime";
import { FrameReader, MAX_FRAME_UP } from "../../src/control/channel.ts";

/** The arguments that a program in this directory needs before its name. */
export const flags = {
  bun: [],
  deno: ["run", "--allow-all", "--no-check", "--unstable-net"],
  node: ["--disable-warning=ExperimentalWarning"],
}[runtime.name as "bun" | "deno" | "node"];

export interface Child {
  readonly pid: number;
  readonly stdin: Writable;
  /** What it has sent so far. */
  readonly events: unknown[];
  /** Its exit code and signal. */
  readonly exited: Promise<unknown[]>;
}

/** `file` is the program, in this directory. */
export function startChild(file: string): Child {
  const program = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, [...flags, program], {
    stdio: ["pipe", "ignore", "inherit", "pipe"],
  });
  const events: unknown[] = [];
  const reader = new FrameReader<unknown>(MAX_FRAME_UP, {
    parse: (value) => value,
    handle: (event) => events.push(event),
    internalError: assert.fail,
  });
  (child.stdio[3] as Readable).on("data", (bytes: Uint8Array) => reader.push(bytes));
  return { pid: child.pid!, stdin: child.stdin!, events, exited: once(child, "close") };
}
