/** Refuses a Deno that lacks what the adapter uses. To be imported before the rest of the adapter. */
import { absent, requireAll } from "../completeness.ts";

type Namespace = { readonly internal: symbol; readonly version?: { readonly deno?: string } };

const deno = (globalThis as { readonly Deno?: Namespace }).Deno;
const core = deno && (deno as unknown as Record<symbol, { readonly core?: unknown }>)[deno.internal]
  ?.core;

requireAll(`Deno ${deno?.version?.deno}`, "Deno 2.9", [
  ...absent("Deno", deno, ["listen", "listenTls", "connect", "startTls", "dlopen", "build"]),
  ...absent("Deno", deno, ["UnsafePointer", "UnsafePointerView"]),
  ...absent("Deno.core", core, ["read", "write", "internalRidSymbol", "internalFdSymbol"]),
]);
