// The few things the pages do beside htmx: say what went wrong, and close an open decision.
"use strict";
(() => {
  const said = () => document.getElementById("said");
  let quiet;
  const say = (words) => {
    const place = said();
    if (!place) return;
    place.textContent = words;
    clearTimeout(quiet);
    quiet = setTimeout(() => { said().textContent = ""; }, 6000);
  };
  document.addEventListener("htmx:responseError", (event) => {
    const answer = event.detail.xhr;
    const html = (answer.getResponseHeader("Content-Type") || "").startsWith("text/html");
    say(html && answer.responseText.length < 300 ? answer.responseText.trim() : "That did not work. Load the page again.");
  });
  document.addEventListener("htmx:sendError", () => say("The service does not answer. Nothing was changed."));
  document.addEventListener("htmx:oobAfterSwap", () => { if (said().textContent) say(said().textContent); });
  document.addEventListener("click", (event) => {
    document.querySelectorAll(".decide details[open]").forEach((open) => { if (!open.contains(event.target)) open.open = false; });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll(".decide details[open]").forEach((open) => { open.open = false; open.querySelector("summary").focus(); });
  });
})();
