import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { libc } from "./libc.ts";

/** As in {@link Runtime}. V8 exposes its collector only on request; glibc keeps what OpenSSL freed. */
export function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  collect ??= runInNewContext("gc") as () => void;
  collect();
  libc.malloc_trim(0);
}

let collect: (() => void) | undefined;
