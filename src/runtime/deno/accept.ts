/** The accept loop, which continues after a failure. */
import { raise } from "../../base/raise.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import type { ListenOptions } from "../listener.ts";
import { type Conn, type DenoListener, descriptorOf } from "./api.ts";
import { failureOf } from "./failures.ts";
import { DenoStream, endpoint } from "./stream.ts";

/** Controls one accept loop, which starts at once. */
export class AcceptState {
  private isOpen = true;
  private resumed: Promise<void> | undefined;
  private endPause: (() => void) | undefined;

  get open(): boolean {
    return this.isOpen;
  }

  /** Resolves when accepting resumes; undefined while it is not paused. */
  get pauseEnd(): Promise<void> | undefined {
    return this.resumed;
  }

  pause(): void {
    this.resumed ??= new Promise((resolve) => this.endPause = resolve);
  }

  resume(): void {
    this.resumed = undefined;
    this.endPause?.();
  }

  close(): void {
    this.isOpen = false;
    this.resume();
  }
}

/** Milliseconds until accepting is tried again after it failed, mostly for lack of descriptors. */
const ACCEPT_PAUSE = 50;

/** Accepts until `state` is closed. `begin` gets each stream that its handler did not close at once. */
export async function acceptAll<T extends Conn>(
  listener: DenoListener<T>,
  options: ListenOptions,
  state: AcceptState,
  begin: (stream: DenoStream, conn: T) => void,
): Promise<void> {
  const isPlain = options.tls === undefined;
  for (;;) {
    while (state.pauseEnd) await state.pauseEnd;
    if (!state.open) return;
    try {
      const conn = await listener.accept();
      // A pending `accept` cannot be canceled; a connection that it returns waits here.
      while (state.pauseEnd) await state.pauseEnd;
      const { remoteAddr, localAddr } = conn;
      const stream = new DenoStream(endpoint(remoteAddr), endpoint(localAddr), isPlain);
      stream.attach(conn, descriptorOf(conn));
      if (assignHandler(stream, options)) begin(stream, conn);
    } catch (error) {
      if (!state.open) return;
      report(options, error);
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
    }
  }
}

/** Sets the handler of an accepted stream; false if that failed or closed the stream. */
function assignHandler(stream: DenoStream, { accepted }: ListenOptions): boolean {
  try {
    stream.handler = accepted(stream);
  } catch (error) {
    stream.handler = ignoringHandler;
    stream.reset();
    raise(error);
  }
  return stream.isOpening;
}

function report({ failed }: ListenOptions, error: unknown): void {
  try {
    failed(failureOf(error));
  } catch (fault) {
    raise(fault);
  }
}
