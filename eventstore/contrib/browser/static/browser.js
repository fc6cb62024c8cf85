// The pages work without this file. It keeps a page up to date, if the page asks for it.
"use strict";
