/** stud under a runtime that lacks something, for tests/unit/runtime_undocumented.test.ts. */
import process from "node:process";

const global = globalThis as unknown as Record<"Bun" | "Deno", Record<PropertyKey, unknown>>;

if (global.Bun) {
  global.Bun.connect = ({ socket }: { socket: { open(native: object): void } }) =>
    socket.open({ terminate() {} });
} else if (global.Deno) {
  const { internal } = global.Deno;
  Object.defineProperty(globalThis, "Deno", {
    value: { ...global.Deno, [internal as symbol]: { core: { read() {} } } },
  });
} else {
  Object.assign(process, { binding: () => ({}) });
}
await import("../../mod.ts");
