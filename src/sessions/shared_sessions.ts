import { type Clock, systemClock } from "../base/clock.ts";
import { TimeoutQueue } from "../base/timeout_queue.ts";
import type { SessionStore } from "../runtime/tls.ts";
import { MAX_SESSION, type SessionEvent, type SessionFound } from "./messages.ts";

/** Time limit for the master's answer in seconds; after it the client makes a full handshake. */
const ANSWER_LIMIT = 1;
/** Maximum number of unanswered questions; beyond it no more are asked. */
const MAX_QUESTIONS = 1024;

type Answer = (session: Uint8Array | undefined) => void;

/** A worker's view of the sessions of all workers, which the master holds. */
export class SharedSessions implements SessionStore {
  private readonly report: (report: SessionEvent) => boolean;
  private readonly questions = new Map<number, Answer>();
  private readonly timeouts: TimeoutQueue<number>;
  private asked = 0;

  /** `report` sends an event to the master. It returns false if the master does not keep up. */
  constructor(report: (report: SessionEvent) => boolean, clock: Clock = systemClock) {
    this.report = report;
    this.timeouts = new TimeoutQueue(ANSWER_LIMIT, (number) => this.answer(number), clock);
  }

  store(policy: string, id: Uint8Array, session: Uint8Array): void {
    if (session.length > MAX_SESSION) return;
    this.report({ type: "session-made", policy, id: base64(id), session: base64(session) });
  }

  find(policy: string, id: Uint8Array, answer: Answer): void {
    if (this.questions.size >= MAX_QUESTIONS) return answer(undefined);
    const number = this.asked++;
    if (!this.report({ type: "session-wanted", policy, id: base64(id), number })) {
      return answer(undefined);
    }
    this.questions.set(number, answer);
    this.timeouts.start(number);
  }

  /** Handles the master's answer, which may be late. */
  found({ number, session }: SessionFound): void {
    this.timeouts.stop(number);
    this.answer(number, session === undefined ? undefined : Buffer.from(session, "base64"));
  }

  private answer(number: number, session?: Uint8Array): void {
    const answer = this.questions.get(number);
    this.questions.delete(number);
    answer?.(session);
  }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64");
}
