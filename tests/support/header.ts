/** Clients that send a header before TLS, and the handler that reads it. The header is one line. */
import { once } from "node:events";
import * as net from "node:net";
import type { TlsFacts } from "../../src/runtime/tls.ts";
import type { TlsSettings } from "../../src/runtime/tls.ts";
import {
  listen,
  type Listening,
  pause,
  Recorder,
  type RecorderHooks,
  server,
  text,
} from "./adapter.ts";

export const HEADER = "HEADER of a client\n";

/** How the header arrives, and the ClientHello after it. */
export type Pace = "header alone" | "header with ClientHello" | "byte by byte";

/** Reads the header, then starts TLS. Without other hooks it greets the client and half-closes. */
export class HeaderHandler extends Recorder {
  header = "";
  facts: TlsFacts | undefined;

  constructor(hooks: RecorderHooks) {
    super({
      header: (stream, bytes) => {
        const received = Buffer.from(bytes);
        const end = received.indexOf("\n") + 1;
        this.header += received.toString("latin1", 0, end || received.length);
        if (end > 0) stream.startTls(Uint8Array.from(received.subarray(end)));
      },
      opened: (stream) => {
        this.facts = stream.tls();
        stream.write(text("GOT"));
        stream.finish();
      },
      ...(hooks.received ? { opened: () => {} } : {}),
      ...hooks,
    });
  }
}

/** Starts a listener whose streams all have such handlers. */
export function serve(
  settings: Partial<TlsSettings>,
  hooks: RecorderHooks = {},
): Omit<Listening, "handlers"> & { readonly handlers: HeaderHandler[] } {
  const handlers: HeaderHandler[] = [];
  const listening = listen({
    settings,
    headerFirst: true,
    accepted(stream) {
      const handler = new HeaderHandler({ ...hooks });
      handlers.push(handler);
      return handler.take(stream);
    },
  });
  return { ...listening, handlers };
}

/** Returns the port of a relay that sends the header before its clients' bytes. */
export async function behindHeader(port: number, pace: Pace): Promise<number> {
  const relay = await server((client) => {
    const target = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    target.on("error", () => client.resetAndDestroy());
    client.on("error", () => target.destroy());
    target.pipe(client);
    void forward(client, target, pace);
  });
  return (relay.address() as net.AddressInfo).port;
}

async function forward(client: net.Socket, target: net.Socket, pace: Pace): Promise<void> {
  if (pace === "byte by byte") {
    let sent = sendSlowly(target, text(HEADER));
    client.on("data", (bytes: Uint8Array) => {
      sent = sent.then(() => sendSlowly(target, bytes));
    });
    await once(client, "end");
    await sent;
    target.end();
    return;
  }
  if (pace === "header alone") {
    target.write(HEADER);
    await pause(20);
  } else {
    const [hello] = await once(client, "data") as [Uint8Array];
    target.write(Buffer.concat([text(HEADER), hello]));
  }
  client.pipe(target);
}

async function sendSlowly(target: net.Socket, bytes: Uint8Array): Promise<void> {
  for (const byte of bytes) {
    target.write(Uint8Array.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Connects without TLS; received bytes are dropped. */
export async function plainClient(port: number): Promise<net.Socket> {
  const client = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  client.on("error", () => {});
  client.resume();
  await once(client, "connect");
  return client;
}
