/**
 * Holds idle connections in a process of its own, since one process has too few descriptors. It is
 * told what to do over IPC, answers each order once it is done, and ends with its parent.
 */
import process from "node:process";
import type { Endpoint } from "../../tests/support/endpoints.ts";
import { IdleClients } from "./tls_client.ts";

export type HolderOrder =
  | { readonly do: "open"; readonly at: Endpoint; readonly count: number }
  /** Each connection makes one more request. */
  | { readonly do: "ask" };

/** Undefined when it was done. */
export type HolderAnswer = { readonly error?: string };

const held: IdleClients[] = [];

process.on("message", (order: HolderOrder) => {
  obey(order).then(() => answer({}), (error) => answer({ error: String(error) }));
});
process.on("disconnect", () => process.exit());

async function obey(order: HolderOrder): Promise<void> {
  if (order.do === "ask") {
    await Promise.all(held.map((clients) => clients.ask()));
    return;
  }
  const clients = new IdleClients(order.at);
  held.push(clients);
  await clients.open(order.count);
}

function answer(message: HolderAnswer): void {
  process.send!(message);
}
