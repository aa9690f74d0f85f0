/** The C library by `node:ffi`, which is on by default since Node 26. */
import type * as Ffi from "node:ffi";
import { libcName, signatures } from "../libc.ts";
import type { Libc } from "../types.ts";

/** As in {@link Runtime}. */
export const libc: Libc = openLibc();

function openLibc(): Libc {
  const { emitWarning } = process;
  // Loading the module warns that it is experimental; nothing else happens meanwhile.
  process.emitWarning = () => {};
  let ffi: typeof Ffi;
  try {
    ffi = process.getBuiltinModule("node:ffi");
  } finally {
    process.emitWarning = emitWarning;
  }
  const definitions: Record<string, Ffi.FunctionSignature> = {
    __errno_location: { arguments: [], return: "pointer" },
  };
  for (const [call, types] of Object.entries(signatures)) {
    definitions[call] = { arguments: types, return: "i32" };
  }
  const functions: Record<string, CFunction> = ffi.dlopen(libcName, definitions).functions;
  const calls: Record<string, CFunction> = {};
  for (const [call, types] of Object.entries<readonly string[]>(signatures)) {
    const native = functions[call]!;
    calls[call] = types.includes("u64") ? withBigInts(native, types) : native;
  }
  const location = functions.__errno_location!;
  return { ...calls as unknown as Libc, errno: () => ffi.getInt32(location()) };
}

/** Node takes 64-bit arguments only as bigint. */
function withBigInts(native: CFunction, types: readonly string[]): CFunction {
  return (...values) =>
    native(...values.map((value, i) => types[i] === "u64" ? BigInt(value as number) : value));
}

// deno-lint-ignore no-explicit-any -- the table of signatures types each call, see `Libc`
type CFunction = (...values: any[]) => any;
