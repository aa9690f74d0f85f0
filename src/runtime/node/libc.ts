/** The C library through `node:ffi`, which is enabled by default since Node 26. */
import type * as Ffi from "node:ffi";
import { signatures } from "../../os/libc.ts";
import { libcName } from "../../os/libc.ts";
import type { Libc } from "../../os/libc.ts";

/** The module, loaded without the warning that it is experimental. */
export const ffi: typeof Ffi = loadFfi();

/** As in {@link Runtime}. */
export const libc: Libc = openLibc();

function loadFfi(): typeof Ffi {
  const { emitWarning } = process;
  // Nothing else can warn meanwhile.
  process.emitWarning = () => {};
  try {
    return process.getBuiltinModule("node:ffi");
  } finally {
    process.emitWarning = emitWarning;
  }
}

function openLibc(): Libc {
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
  return {
    ...calls as unknown as Libc,
    errno: () => ffi.getInt32(location()),
    addressOf: (bytes) => ffi.getRawPointer(bytes),
  };
}

/** Node accepts 64-bit arguments only as bigint. */
function withBigInts(native: CFunction, types: readonly string[]): CFunction {
  return (...values) =>
    native(...values.map((value, i) => types[i] === "u64" ? BigInt(value as number) : value));
}

// deno-lint-ignore no-explicit-any -- the table of signatures types each call, see `Libc`
type CFunction = (...values: any[]) => any;
