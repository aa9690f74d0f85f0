/** Functions of the OpenSSL inside Node that `node:crypto` lacks, through FFI. UNDOCUMENTED. */
import { existsSync } from "node:fs";
import { setEngine } from "node:crypto";
import { inspect } from "node:util";
import type { NativeContext } from "./handles.ts";
import { ffi } from "./libc.ts";

/** Where distributions install engines of OpenSSL 3; Node's own directory does not exist. */
const engineDirectories = [
  "/usr/lib/x86_64-linux-gnu/engines-3",
  "/usr/lib/aarch64-linux-gnu/engines-3",
  "/usr/lib64/engines-3",
  "/usr/lib/engines-3",
];

/**
 * As in {@link Runtime}. `auto` registers all built-in engines for everything that they support;
 * another id is looked up among these, then as a file by its path or in the system's directory.
 */
export function loadEngine(id: string): void {
  if (id === "auto") {
    const { ENGINE_load_builtin_engines: load, ENGINE_register_all_complete: register } = openssl();
    load!();
    register!();
    return;
  }
  const directory = engineDirectories.find(existsSync);
  if (directory !== undefined) process.env.OPENSSL_ENGINES ??= directory;
  try {
    setEngine(id);
  } catch {
    throw new Error(`OpenSSL has no engine ${id}, or it failed to start`);
  }
}

/**
 * Disables the two tickets that TLS 1.3 would otherwise send for each connection even with session
 * tickets off, which never resume. Throws an Error if Node does not show the address of a context.
 */
export function sendNoTickets(context: NativeContext): void {
  if (openssl().SSL_CTX_set_num_tickets!(pointerOf(context), 0n) !== 1) {
    throw new Error("OpenSSL did not accept the number of session tickets");
  }
}

/** Returns the address of OpenSSL's SSL_CTX. Throws an Error if Node does not show it. */
export function pointerOf(context: NativeContext): bigint {
  return BigInt(addressIn(inspect(context._external)));
}

/** Returns the hexadecimal address in the text that Node shows for a pointer: `[External: 5581d3a0]`. */
export function addressIn(shown: string): string {
  const address = /^\[External: (?:0x)?([0-9a-f]{4,16})\]$/.exec(shown)?.[1];
  if (address !== undefined) return `0x${address}`;
  const { node } = process.versions;
  throw new Error(`Node.js ${node} does not show the address of a TLS context: ${shown}`);
}

function openssl() {
  // Without a name: the libraries that the executable itself is linked with.
  return ffi.dlopen(null, {
    ENGINE_load_builtin_engines: { arguments: [], return: "void" },
    ENGINE_register_all_complete: { arguments: [], return: "i32" },
    SSL_CTX_set_num_tickets: { arguments: ["pointer", "u64"], return: "i32" },
  }).functions;
}
