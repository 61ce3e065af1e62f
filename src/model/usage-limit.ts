import type { JsonObject } from "../protocol/unknown-kind.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const CREDITS = "Visit https://chatgpt.com/codex/settings/usage to purchase more credits or ";

/** Codex's words for a used-up plan: who may buy credits is told so, and when the limit ends, if the server said it. */
export function usageLimitText(error: JsonObject, nowMs: number): string {
  const { plan_type: plan, resets_at: resetsAt, resets_in_seconds: resetsIn } = error;
  const atMs =
    typeof resetsAt === "number"
      ? resetsAt * 1000
      : typeof resetsIn === "number"
        ? nowMs + resetsIn * 1000
        : Number.NaN;
  const tryAgain = Number.isNaN(atMs) ? "try again later" : `try again at ${timeText(new Date(atMs), new Date(nowMs))}`;
  const advice = plan === "pro" ? `${CREDITS}${tryAgain}` : `T${tryAgain.slice(1)}`;
  return `You've hit your usage limit. ${advice}.`;
}

/** In the local time zone: `Jan 1st, 2100 12:00 AM`, or the time alone when it is today. */
function timeText(at: Date, now: Date): string {
  const hour = at.getHours();
  const minute = String(at.getMinutes()).padStart(2, "0");
  const time = `${hour % 12 === 0 ? 12 : hour % 12}:${minute} ${hour < 12 ? "AM" : "PM"}`;
  if (at.toDateString() === now.toDateString()) return time;
  return `${MONTHS[at.getMonth()]} ${ordinal(at.getDate())}, ${at.getFullYear()} ${time}`;
}

function ordinal(day: number): string {
  const isTeen = day >= 11 && day <= 13;
  const suffix = isTeen ? "th" : (["th", "st", "nd", "rd"][day % 10] ?? "th");
  return `${day}${suffix}`;
}
