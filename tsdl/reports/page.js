// Draws every chart of the page. Expressions are interpreted, so that no text is ever run as code.
"use strict";
const specs = JSON.parse(document.getElementById("charts").textContent);
const options = { ast: true, actions: false, renderer: "svg", mode: "vega-lite" };
const drawn = [...document.querySelectorAll("[data-chart]")].map(async (place) => {
  try {
    await vegaEmbed(place, specs[place.dataset.chart], options);
  } catch (error) {
    place.textContent = `This chart could not be drawn: ${error.message}`;
    place.classList.add("error");
    console.error(error);
  }
});
Promise.all(drawn).then(() => { document.body.dataset.drawn = drawn.length; });
