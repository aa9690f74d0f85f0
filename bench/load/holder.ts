/**
 * Holds idle connections in a separate process, because one process has too few descriptors. It
 * receives commands over IPC, acknowledges each one when it is done, and exits with its parent.
 */
import process from "node:process";
import type { Endpoint } from "../../tests/support/endpoints.ts";
import { IdleClients } from "./tls_client.ts";

export type HolderCommand =
  | { readonly do: "open"; readonly at: Endpoint; readonly count: number }
  /** Makes one more request on each connection. */
  | { readonly do: "ask" };

/** `error` is undefined on success. */
export type HolderAnswer = { readonly error?: string };

const held: IdleClients[] = [];

process.on("message", (command: HolderCommand) => {
  handle(command).then(() => answer({}), (error) => answer({ error: String(error) }));
});
process.on("disconnect", () => process.exit());

async function handle(command: HolderCommand): Promise<void> {
  if (command.do === "ask") {
    await Promise.all(held.map((clients) => clients.ask()));
    return;
  }
  const clients = new IdleClients(command.at);
  held.push(clients);
  await clients.open(command.count);
}

function answer(message: HolderAnswer): void {
  process.send!(message);
}
