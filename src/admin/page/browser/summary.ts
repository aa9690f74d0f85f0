/** What comes first: the health, the problems, and whether the page is up to date. */
import { type Problem, type Status, STATUS_VERSION } from "../../../status/status.ts";
import { byId, element, fill, setText, type Tone } from "./dom.ts";
import type { Feed } from "./feed.ts";
import { amount, duration, time } from "./format.ts";
import { capital } from "./sections.ts";

/** Problems that are shown until the reader asks for all. */
const SHOWN_PROBLEMS = 8;

/** Shows the health and the problems of a document. */
export function makeSummary(): (status: Status) => void {
  const section = byId("problems");
  const items = section.querySelector<HTMLElement>("ul")!;
  const button = element("button", { type: "button", "aria-expanded": "false" });
  const more = element("p", { class: "more" }, button);
  items.after(more);
  let latest: readonly Problem[] = [];
  let isOpen = false;
  const draw = () => {
    fill(items, isOpen ? latest : latest.slice(0, SHOWN_PROBLEMS), makeProblem, showProblem);
    more.hidden = latest.length <= SHOWN_PROBLEMS;
    setText(button, isOpen ? `Show only ${SHOWN_PROBLEMS}` : `Show all ${latest.length} problems`);
  };
  button.addEventListener("click", () => {
    isOpen = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    draw();
  });
  return (status) => {
    latest = problemsOf(status);
    draw();
    const tone = toneOf(status);
    section.className = tone;
    setText(
      byId("problems-title"),
      latest.length === 0 ? "No problems" : amount(latest.length, "problem"),
    );
    const words = capital(status.health);
    setText(byId("health"), words);
    byId("health").className = `badge large ${tone}`;
    announce(latest.length === 0 ? words : `${words}, ${amount(latest.length, "problem")}`);
    const prefix = latest.length === 0 ? "" : `${amount(latest.length, "problem")} – `;
    if (document.title !== prefix + TITLE) document.title = prefix + TITLE;
  };
}

const TITLE = `stud ${location.host}`;

/** Not to be ready is a problem too, unless one says why already. */
function problemsOf({ problems, ready, health }: Status): readonly Problem[] {
  if (ready.isReady || health === "draining") return problems;
  const text = `Not ready: ${ready.reason ?? "no reason is given"}`;
  return [{ severity: "error", code: "not-ready", text }, ...problems];
}

function toneOf(status: Status): Tone {
  if (problemsOf(status).some(({ severity }) => severity === "error")) return "error";
  return status.health === "well" ? "good" : "warning";
}

function makeProblem(): HTMLElement {
  return element("li", {}, element("strong"), element("span"), element("code"));
}

function showProblem(item: HTMLElement, { severity, code, text }: Problem): void {
  const [word, words, id] = item.children as unknown as HTMLElement[];
  word!.className = `badge ${severity}`;
  setText(word!, capital(severity));
  setText(words!, text);
  setText(id!, code);
}

/** Says how old the values are; `failure`: why the last document could not be shown. */
export function showAge(feed: Feed, last: Status | undefined, failure: string | undefined): void {
  const { state, age = 0 } = feed;
  const old = last ? ` The values below are ${duration(age / 1000)} old.` : "";
  const texts = {
    waiting: "",
    live: "",
    old: `stud answers, but sends no new values.${old}`,
    away: `stud cannot be reached; trying again.${old}`,
  };
  const text = texts[state] || failure || "";
  const notice = byId("notice");
  setText(notice, text);
  notice.hidden = text === "";
  document.body.classList.toggle("old", state === "old" || state === "away");
  setText(byId("age"), last ? `${state === "live" ? "Live" : "As"} at ${time(last.time)}` : "");
  if (state === "old" || state === "away") {
    announce(state === "old" ? "No new values" : "Not connected");
  }
  if (text !== "" && state !== "live") document.title = `No data – ${TITLE}`;
}

/** Why a document cannot be shown, if so. */
export function incompatible({ version }: Status): string | undefined {
  if (version === STATUS_VERSION) return undefined;
  return `stud sends version ${version} of its status, this page shows version ${STATUS_VERSION}: ` +
    "load the page again.";
}

/** For screen readers, only when it changes. */
function announce(text: string): void {
  setText(byId("announcements"), text);
}
