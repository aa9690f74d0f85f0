import process from "node:process";
import { FrameReader, MAX_FRAME_DOWN } from "./channel.ts";

/** What a helper process is made of. */
export interface Helper<Order> {
  obey(order: Order): void;
  /** A fault of ours, which must not end it. */
  internalError(error: unknown): void;
}

/**
 * Runs this process as a helper of the master: it obeys orders from standard input until that ends,
 * which means that the master is gone. It never returns by itself, and SIGTERM ends it whatever it
 * does.
 */
export function runHelper<Order>(helper: Helper<Order>): void {
  obeyOrders<Order>((order) => helper.obey(order));
  // Ctrl-C reaches the whole foreground group; the master decides what it means.
  process.on("SIGINT", () => {});
  process.on("uncaughtException", (error) => helper.internalError(error));
  process.on("unhandledRejection", (error) => helper.internalError(error));
}

/** Takes orders from standard input; this process ends when that does. */
export function obeyOrders<Order>(obey: (order: Order) => void): void {
  const orders = new FrameReader(MAX_FRAME_DOWN, (order) => obey(order as Order));
  process.stdin.on("data", (bytes: Uint8Array) => orders.push(bytes));
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(1));
}
