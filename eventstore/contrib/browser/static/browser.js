// The pages work without this file. With it, a live page is replaced in place instead of loaded again, which keeps
// what is open and focused, and a slider shows its version when it is let go.
"use strict";

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
});

const live = document.querySelector("[data-refresh]");
if (live) {
  const refresh = async () => {
    if (document.hidden || live.contains(document.activeElement) || live.querySelector("details[open]")) return;
    try {
      const response = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      if (!response.ok) return;
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.getElementById(live.id);
      if (fresh) live.replaceChildren(...fresh.childNodes);
    } catch {
      // the server can't be reached now: the next time may succeed
    }
  };
  setInterval(refresh, Number(live.dataset.refresh) * 1000);
}
