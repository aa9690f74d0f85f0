/** Refuses a Deno that lacks what the adapter uses. Import it before the rest of the adapter. */
import { missingMembers, requireAll } from "../completeness.ts";

type Namespace = { readonly internal: symbol; readonly version?: { readonly deno?: string } };

const deno = (globalThis as { readonly Deno?: Namespace }).Deno;
const core = deno && (deno as unknown as Record<symbol, { readonly core?: unknown }>)[deno.internal]
  ?.core;

requireAll(`Deno ${deno?.version?.deno}`, "Deno 2.9", [
  ...missingMembers("Deno", deno, [
    "listen",
    "listenTls",
    "connect",
    "startTls",
    "dlopen",
    "build",
  ]),
  ...missingMembers("Deno", deno, ["UnsafePointer", "UnsafePointerView"]),
  ...missingMembers("Deno.core", core, ["read", "write", "internalRidSymbol", "internalFdSymbol"]),
]);
