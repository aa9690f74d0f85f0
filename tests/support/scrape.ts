/** A client of `/metrics`. */
import { request } from "node:http";
import { within } from "./until.ts";

/** The samples of one scrape. */
export class Scrape {
  readonly type: string;
  readonly text: string;
  /** By name and labels as they are written: `stud_x{a="b"}`. */
  readonly samples: ReadonlyMap<string, number>;

  constructor(type: string, text: string) {
    this.type = type;
    this.text = text;
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    this.samples = new Map(lines.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1).replace("Inf", "Infinity"))];
    }));
  }

  /** The sum of a metric's samples that contain all these pairs, as `a="b"`. */
  total(name: string, ...pairs: readonly string[]): number {
    let sum = 0;
    for (const [series, value] of this.samples) {
      const [own, labels = ""] = series.split("{", 2);
      if (own === name && pairs.every((pair) => labels.includes(pair))) sum += value;
    }
    return sum;
  }

  /** The series that must not decrease: counters and the parts of histograms. */
  get counters(): ReadonlyMap<string, number> {
    return new Map([...this.samples].filter(([series]) => COUNTER.test(series)));
  }
}

const COUNTER = /^\w+_(total|bucket|sum|count)(\{|$)/;

/** Scrapes the admin endpoint at a Unix socket. */
export async function scrape(socketPath: string, accept?: string): Promise<Scrape> {
  const headers = accept === undefined ? {} : { accept };
  const answer = new Promise<Scrape>((resolve, reject) => {
    const asked = request({ socketPath, path: "/metrics", headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => text += chunk).on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) {
          resolve(new Scrape(response.headers["content-type"] ?? "", text));
        } else reject(new Error(`status ${response.statusCode}: ${text}`));
      });
    });
    asked.on("error", reject).end();
  });
  return await within(answer, "an answer of the admin endpoint");
}

/** The counters that a later scrape lacks or shows lower. */
export function decreased(before: Scrape, after: Scrape): string[] {
  return [...before.counters].flatMap(([series, value]) => {
    const now = after.samples.get(series);
    return now !== undefined && now >= value ? [] : [`${series}: ${value}, then ${now}`];
  });
}
