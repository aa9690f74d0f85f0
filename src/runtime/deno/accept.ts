/** The accept loop, which goes on after a failure. */
import { raise } from "../../base/raise.ts";
import { ignoringHandler } from "../ignoring_handler.ts";
import type { ListenOptions } from "../listener.ts";
import { type Conn, type DenoListener, descriptorOf } from "./api.ts";
import { failureOf } from "./failures.ts";
import { DenoStream, endpoint } from "./stream.ts";

/** What one loop acts by; it begins to accept at once. */
export class AcceptState {
  private isOpen = true;
  private resumed: Promise<void> | undefined;
  private goOn: (() => void) | undefined;

  get open(): boolean {
    return this.isOpen;
  }

  /** Absent while it accepts. */
  get pauseEnd(): Promise<void> | undefined {
    return this.resumed;
  }

  pause(): void {
    this.resumed ??= new Promise((resolve) => this.goOn = resolve);
  }

  resume(): void {
    this.resumed = undefined;
    this.goOn?.();
  }

  close(): void {
    this.isOpen = false;
    this.resume();
  }
}

/** Milliseconds until accepting goes on after it failed, mostly for want of descriptors. */
const ACCEPT_PAUSE = 50;

/** Accepts until the state says stop. `begin` gets each stream that its owner did not end at once. */
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
      // A call that is under way cannot be taken back; what it brings waits here.
      while (state.pauseEnd) await state.pauseEnd;
      const { remoteAddr, localAddr } = conn;
      const stream = new DenoStream(endpoint(remoteAddr), endpoint(localAddr), isPlain);
      stream.attach(conn, descriptorOf(conn));
      if (own(stream, options)) begin(stream, conn);
    } catch (error) {
      if (!state.open) return;
      report(options, error);
      await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE));
    }
  }
}

/** Names the owner of an accepted stream; false when that failed, or ended the stream. */
function own(stream: DenoStream, { accepted }: ListenOptions): boolean {
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
