// Draws each figure when it is scrolled to, and all of them before printing; copies commands.
(function () {
  "use strict";

  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const holders = Array.from(document.querySelectorAll("[data-plot]"));
  const drawn = new Set();
  const waiting = [];

  // Inks and papers of the figures, and what stands for them on a dark page.
  const DARK = {
    "#000000": "#ffffff",
    "#ffffff": "#14171a",
    "#222222": "#e6e6e6",
    "#767676": "#9aa4ae",
    "#bdbdbd": "#565d64",
    "#e5e5e5": "#2c3136",
    "#0072b2": "#4aa8e0",
    "#d55e00": "#ff8a3d",
  };

  // Nothing is sent anywhere: plotly's button for sharing a figure is not there. Where nothing can
  // hover, its buttons would always lie over the legend.
  const CONFIG = {
    displayModeBar: matchMedia("(hover: hover)").matches ? "hover" : false,
    displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d"],
    plotlyServerURL: "",
    responsive: true,
    showSendToCloud: false,
    showTips: false,
  };

  function specification(holder) {
    const text = document.getElementById(holder.dataset.plot).textContent;
    if (!dark.matches || printing) return JSON.parse(text);
    return JSON.parse(text, (key, value) =>
      typeof value === "string" ? (DARK[value.toLowerCase()] ?? value) : value
    );
  }

  function draw(holder) {
    if (drawn.has(holder)) return;
    drawn.add(holder);
    try {
      const figure = specification(holder);
      const name = holder.closest("figure").id.replace("figure-", "");
      const config = { ...CONFIG, toImageButtonOptions: { filename: name, scale: 2 } };
      Plotly.newPlot(holder, figure.data, figure.layout, config).then(
        () => holder.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true")),
        (error) => failed(holder, error)
      );
    } catch (error) {
      failed(holder, error);
    }
  }

  function failed(holder, error) {
    holder.textContent = "This figure could not be drawn: " + error;
    console.error(error);
  }

  // One figure a task, so that the page scrolls while others wait.
  function drawNext() {
    const holder = waiting.shift();
    if (holder === undefined) return;
    draw(holder);
    setTimeout(drawNext);
  }

  function drawAgain() {
    const before = Array.from(drawn);
    drawn.clear();
    before.forEach(draw);
  }

  const observer = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        observer.unobserve(entry.target);
        if (waiting.push(entry.target) === 1) setTimeout(drawNext);
      }
    },
    { rootMargin: "600px 0px" }
  );

  holders.forEach((holder) => observer.observe(holder));
  dark.addEventListener("change", drawAgain);
  // Paper is light whatever the screen is.
  addEventListener("beforeprint", () => {
    printing = true;
    if (dark.matches) drawAgain();
    holders.forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    if (dark.matches) drawAgain();
  });

  for (const button of document.querySelectorAll(".command button")) {
    const code = button.parentElement.querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
  }
})();
