import { createSocket } from "node:dgram";
import type { DatagramEvents } from "../datagrams.ts";
import type { Datagrams } from "../datagrams.ts";
import type { Failure } from "../failure.ts";

/** Maximum number of bytes that wait for the kernel. */
const MAX_WAITING = 1024 * 1024;

/** As in {@link Runtime}. */
export function openDatagrams(
  fd: number,
  family: 4 | 6,
  { received, failed }: DatagramEvents,
): Datagrams {
  const socket = createSocket(family === 4 ? "udp4" : "udp6");
  const report = (error: Error | null) => error && failed(failureOf(error));
  socket.on("message", received);
  socket.on("error", report);
  socket.bind({ fd });
  return {
    send(bytes, { address, port }) {
      if (socket.getSendQueueSize() + bytes.length > MAX_WAITING) {
        return failed({ code: "ENOBUFS", message: "the send queue is full" });
      }
      socket.send(bytes, port, address, report);
    },
  };
}

function failureOf(error: Error & { readonly code?: string }): Failure {
  return { code: error.code ?? error.name, message: error.message };
}
