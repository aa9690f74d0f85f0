/** The process of the backend; see backend.ts. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { BackendKind } from "./backend.ts";

const [, , host, port] = process.argv;
const FLOOD = Buffer.alloc(64 * 1024, 0xa5);
const slow = new Set<Socket>();

const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
  socket.on("error", () => {}).once("readable", () => {
    const kind: Buffer | null = socket.read(1);
    if (kind === null) socket.end();
    else serve(socket, kind[0]);
  });
});
server.listen({ host, port: Number(port), backlog: 4096 }, () => {
  process.send!((server.address() as AddressInfo).port);
});
// There is only one message.
process.on("message", () => slow.forEach((socket) => socket.destroy()));
// The process that started this one has exited.
process.on("disconnect", () => process.exit(1));

function serve(socket: Socket, kind: number | undefined): void {
  switch (kind) {
    case BackendKind.echo:
      return void socket.pipe(socket);
    case BackendKind.silent:
      return void socket.on("end", () => socket.end()).resume();
    case BackendKind.slow: {
      slow.add(socket);
      const timer = setInterval(() => socket.read(1), 1000);
      return void socket.on("end", () => socket.end()).on("close", () => {
        clearInterval(timer);
        slow.delete(socket);
      });
    }
    case BackendKind.flood: {
      const send = () => {
        while (socket.writable && socket.write(FLOOD));
      };
      socket.on("drain", send).on("end", () => socket.destroy()).resume();
      return send();
    }
    default:
      socket.destroy();
  }
}
