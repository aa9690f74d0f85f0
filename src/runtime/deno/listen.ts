import { getSystemErrorName } from "node:util";
import { SHUT_RDWR } from "../../os/constants.ts";
import { queuesEmptied, refuseNew } from "../../os/listen_queue.ts";
import { setOption } from "../../os/socket_options.ts";
import type { Listener, ListenOptions } from "../listener.ts";
import { acceptAll, AcceptState } from "./accept.ts";
import { type Conn, Deno, type DenoListener, libc } from "./api.ts";
import { descriptors } from "./descriptors.ts";
import { HelloHold } from "./hello.ts";
import { type DenoTlsContext, resolver } from "./server_tls.ts";
import { endpoint } from "./stream.ts";

/** Maximum time in milliseconds for which a closing listener accepts from its queue. */
const QUEUE_LIMIT_MS = 1000;

/** As in {@link Runtime}: binds with SO_REUSEPORT. */
export function listen(options: ListenOptions): Listener {
  const { on, backlog } = options;
  if ("fd" in on) throw new Error("Deno cannot adopt a listening descriptor");
  const tls = options.tls as DenoTlsContext | undefined;
  const { address: hostname, port } = on.endpoint;
  const at = { hostname, port, reusePort: true, tcpBacklog: backlog };
  const state = new AcceptState();
  let isClosing = false;
  const hold = tls && new HelloHold(tls.hasResolver);
  const { listener, accepting } = hold
    ? listenTls(at, tls, options, state, hold)
    : listenPlain(at, options, state);
  let fd: number;
  try {
    fd = descriptors.ofListener(endpoint(listener.addr));
    for (const option of on.socketOptions) {
      if (!setOption(libc, fd, option)) throw optionError(option.name);
    }
    if (hold && !hold.start(fd)) throw optionError("SO_RCVLOWAT");
    on.bound?.(fd);
  } catch (error) {
    state.close();
    listener.close();
    throw error;
  }
  return {
    async close() {
      if (isClosing) return;
      isClosing = true;
      refuseNew(libc, fd);
      state.resume();
      await queuesEmptied(libc, [fd], QUEUE_LIMIT_MS, 0);
      state.close();
      // Deno closes the descriptor some turns later, and would accept clients until then.
      libc.shutdown(fd, SHUT_RDWR);
      hold?.stop();
      listener.close();
      // The loop may not have seen all that Deno has accepted by then.
      await accepting;
    },
    pause: () => state.pause(),
    resume: () => state.resume(),
    update() {
      throw new Error("Deno cannot change the certificates of a listening socket");
    },
  };
}

type ListenAddress = Parameters<typeof Deno.listen>[0];

interface Accepting {
  readonly listener: { readonly addr: DenoListener<Conn>["addr"]; close(): void };
  /** Resolves when the loop has ended. */
  readonly accepting: Promise<void>;
}

function listenPlain(at: ListenAddress, options: ListenOptions, state: AcceptState): Accepting {
  const listener = Deno.listen(at);
  return {
    listener,
    accepting: acceptAll(listener, options, state, (stream) => stream.open()),
  };
}

function listenTls(
  at: ListenAddress,
  context: DenoTlsContext,
  options: ListenOptions,
  state: AcceptState,
  hold: HelloHold,
): Accepting {
  const { settings: { alpn }, hasResolver, fallback } = context;
  const identity = hasResolver ? resolver(context) : fallback;
  const listener = Deno.listenTls({ ...at, alpnProtocols: alpn, ...identity });
  const accepting = acceptAll(listener, options, state, (stream, conn) => {
    void stream.handshake(conn);
    hold.accepted(stream);
  });
  return { listener, accepting };
}

function optionError(option: string): Error {
  const code = getSystemErrorName(-libc.errno());
  return Object.assign(new Error(`cannot set ${option} on the listening socket: ${code}`), {
    code,
  });
}
