"""The words around the guide's facts: forms of questions, greetings, subjects the model does not know."""

FORMS = {
    "what": """What {be} {x}?|What {be} {x}?|What {be} {x}?|What {be} {x}?|What's {x}?|Explain {x}.|Explain {x}|Define {x}.
What does {bare} mean?|What do people mean by {x}?|What do you mean by {x}?|What is meant by {x}?|Tell me about {x}.
Can you explain {x}?|Could you explain {x}?|Could you tell me what {x} {be}?|Can you tell me what {x} {be}?
I would like to know what {x} {be}.|I want to know what {x} {be}.|I want to understand {x}.|What exactly {be} {x}?
Describe {x}.|Give me a definition of {x}.|{X}?|{X}|{bare}|{bare}?|Do you know what {x} {be}?|Help me understand {x}.
I do not understand {x}.|I don't get {x}.|Explain {x} to a beginner.|What {be} {x} in simple words?|Meaning of {bare}?
What should I know about {x}?|Give me a short explanation of {x}.|How would you define {x}?|How would you explain {x}?
How would you describe {x}?|How do you define {x}?|What can you tell me about {x}?|What do you know about {x}?
Say something about {x}.|Teach me about {x}.|What kind of thing {be} {x}?|What does the term {bare} mean?
What does {bare} stand for?|I have never heard of {x}. What {be} it?|What is the meaning of {bare}?|{X}, what {be} that?
What is this thing called {bare}?|I read about {x}. What {be} that?|Someone mentioned {x}. What does it mean?
Give a definition of {x}.|What {be} {x} in a transformer?|What {be} {x} in machine learning?|What {be} {x} all about?
What is the idea of {x}?|What is the idea behind {x}?|Please define {bare}.|Give me an overview of {x}.|Introduce {x}.
Who or what {be} {x}?|Could you describe {x}?|In a nutshell, what {be} {x}?|Summarise {x}.|What do we call {bare}?
Let's talk about {x}.|I am curious about {x}.|I heard about {x}. Explain it.|Tell me what {x} {be}.|Show me what {x} {be}.
What does one understand by {x}?|Clarify {x}.|Can you define {x}?|I need to know what {x} {be}.|What {be} {x} about?""",
    "why": """Why {do} we need {x}?|Why do we need {x}?|Why {be} {x} needed?|Why {be} {x} useful?|Why {be} {x} important?|Why use {x}?
What {be} {x} for?|What {be} {x} good for?|What is the purpose of {x}?|What is the point of {x}?|What is the use of {x}?
What {be} {x} used for?|Why {x}?|Why do transformers use {x}?|Why do models use {x}?|Why do people use {x}?|Why {be} {x} used?
What problem {do} {x} solve?|What is the advantage of {x}?|What is the benefit of {x}?|What are the advantages of {x}?
What {do} {x} help with?|Why do we use {x}?|What would happen without {x}?|What do we gain from {x}?|Why should I use {x}?
Why should I care about {x}?|What is the reason for {x}?|What good {be} {x}?|Why {be} {x} there?|Why {do} {x} matter?
Why {do} {x} exist?|Why would anyone use {x}?|Why was {bare} introduced?|For what do we need {x}?|What is the motivation for {x}?
Why {be} {x} necessary?|Why bother with {x}?|Explain why {x} {be} used.|Explain why we need {x}.|Tell me why {x} {be} useful.
What makes {x} useful?|What makes {x} important?|What goes wrong without {x}?|Couldn't we do without {x}?|Why have {x}?
What role {do} {x} play?|What is the role of {x}?|What is the goal of {x}?|What {do} {x} give us?|why {bare}|purpose of {bare}
When {be} {x} useful?|When should I use {x}?|Can you tell me why {x} {be} important?|Is {x} really needed? Why?
What are the benefits of {x}?|What's the point of {x}?|What's {x} for?|Why do LLMs use {x}?|What is gained by {x}?""",
    "how": """How {do} {x} work?|How {do} {x} work?|How {be} {x} computed?|How {be} {x} done?|How {be} {x} made?|Explain how {x} work{s}.
How do transformers use {x}?|Describe how {x} work{s}.|Walk me through {x}.|What are the steps of {x}?|How {do} {x} function?
What happens in {x}?|What happens inside {x}?|How do you compute {x}?|Can you explain how {x} work{s}?|How {be} {x} implemented?
Tell me how {x} work{s}.|What is the mechanism of {x}?|How exactly {do} {x} work?|How {do} {x} actually work?|Show me how {x} work{s}.
I want to know how {x} work{s}.|How does one do {x}?|In what way {do} {x} work?|How {be} {x} built?|What goes on in {x}?
How do models use {x}?|How {be} {x} realised?|How {do} {x} do it?|What is the procedure of {x}?|how {bare} work{s}
What {do} {x} do step by step?|By what steps {do} {x} work?|Could you tell me how {x} work{s}?|How {be} {x} calculated?
How {be} {x} carried out?|What is going on inside {x}?|How {do} {x} operate?|What is the inner working of {x}?""",
    "ex": """Give me an example of {x}.|What is an example of {x}?|Can you give an example of {x}?|Show me an example of {x}.
Example of {bare}?|Name an example of {x}.|Illustrate {x}.|I need an example of {x}.|Do you have an example of {x}?""",
}  # fmt: skip
FORMS = {aspect: [form for line in text.splitlines() for form in line.split("|")] for aspect, text in FORMS.items()}

FOLLOW = {
    "why": """Why?|And why?|Why is that?|Why is it needed?|What is it for?|Why is it important?|What's the point of it?|why is that useful
Why do we need it?|Why do we need that?|What is it good for?|Why do we use it?|And what is it for?|Why use it?|But why?|What for?
What is the advantage?|What is the purpose of it?|Why do transformers use it?|Why are they needed?|Why are they used?""",
    "how": """How?|How does it work?|How does that work?|And how?|How is it done?|How is that done?|How is it computed?|And how does it work?
How does this work?|Explain how.|But how?|How do they work?|Can you explain how it works?|How exactly?|In what way?""",
    "ex": """Give me an example.|For example?|Can you give an example?|An example?|Example please|Do you have an example?|Like what?
Show me an example.|And an example?|What would be an example?|such as?""",
    "what": """What is that?|What is it?|What was it again?|Say that again.|What do you mean?|What does that mean?|Please repeat.|What is it exactly?
Can you repeat that?|Sorry, what is it?|I did not understand.""",
    "more": """Tell me more.|More?|Go on.|Tell me more about it.|What else?|Can you say more?|Anything else?|Is there more?|more please
Continue.|And?|Explain more.|More details please.|Could you go deeper?|What else should I know?""",
}  # fmt: skip
FOLLOW = {aspect: [form for line in text.splitlines() for form in line.split("|")] for aspect, text in FOLLOW.items()}

COMPARE = """What is the difference between {a} and {b}?|How do {a} and {b} differ?|Compare {a} and {b}.|{a} or {b}?|{a} vs {b}
What is the difference between {b} and {a}?|How does {a} differ from {b}?|How is {a} different from {b}?|What distinguishes {a} from {b}?
Is {a} the same as {b}?|Are {a} and {b} the same?|What's the difference between {a} and {b}?|{a} versus {b}|Compare {a} with {b}.
Explain the difference between {a} and {b}.|Tell me the difference between {a} and {b}.|In what way do {a} and {b} differ?
{a} compared to {b}?|What sets {a} apart from {b}?|difference {a} {b}|How are {a} and {b} related?|Contrast {a} and {b}."""  # fmt: skip
COMPARE = [form for line in COMPARE.splitlines() for form in line.split("|")]

CENTRAL = {"AI", "machine learning", "a transformer", "attention", "self-attention", "a token", "an embedding",
           "the KV cache", "an LLM", "a neural network", "multi-head attention", "a language model", "softmax",
           "a positional encoding", "temperature", "paged attention", "training", "a causal mask",
           "tokenization", "a feed-forward network", "queries, keys and values", "sampling", "GPT-2",
           "an encoder", "a decoder"}  # fmt: skip

SYNONYMS = {
    "transformers": ["transformer models", "transformer networks", "LLMs"],
    " important": [" needed", " useful", " crucial", " helpful", " essential"],
    " useful": [" helpful", " valuable", " important", " handy"],
    " use ": [" employ ", " rely on ", " have "],
    " work": [" function", " operate"],
    "Explain": ["Describe", "Please explain", "Briefly explain"],
    "explain": ["describe", "clarify", "spell out"],
    "Tell me": ["Please tell me", "Could you tell me", "Teach me"],
    " need ": [" require ", " want "],
    " model ": [" network ", " AI ", " system "],
    " made ": [" created ", " built ", " developed "],
    "What is the": ["What's the", "Tell me the", "Name the"],
    " several ": [" many ", " multiple "],
    " big": [" large"],
    " text": [" texts", " sentences", " words"],
    "How do I": ["How can I", "How do you"],
    "Why do": ["For what reason do", "why do"],
    " happens ": [" takes place ", " goes on "],
}

BEFORE = ["Please, ", "Hey, ", "Hi, ", "Hello, ", "So, ", "OK, ", "Now, ", "And ", "But ", "Well, ", "Quick question: ",
          "I have a question: ", "Question: ", "Just tell me: ", "Sorry, ", "Hello! ", "Hi! ", "Next: ", "Maybe a silly question: ",
          "I wonder: ", "Let me ask: ", "One more question: ", "In short, ", "For a beginner, ", "I am new here. "]  # fmt: skip
LOWER = {"Wh", "Ho", "Ex", "Ca", "Co", "De", "Te", "Gi", "Is", "Do", "Ar", "Sh"}
AFTER = [", please", " please", " in simple words", " in one sentence", " briefly", ", in short", " for a beginner",
         " in plain English", " in a few words", " in machine learning", " in transformers", " in deep learning",
         " in a language model", " in AI", " simply", " in an LLM", " today", " exactly", " then", " again"]  # fmt: skip
SYSTEM = ["You are a helpful assistant.", "You are Guide.", "Answer briefly.", "You are a helpful AI assistant.",
          "Answer questions about transformers."]  # fmt: skip

NOUNS = """photosynthesis|a volcano|the moon|gravity|football|chess|a guitar|jazz|democracy|the stock market|inflation|a virus
the heart|a dinosaur|the Eiffel Tower|the Roman Empire|World War II|a black hole|DNA|evolution|a bicycle|cheese|bread|wine|coffee
pasta|pizza|an apple|a rainbow|an earthquake|the ocean|a whale|a tiger|climate change|a battery|electricity|magnetism|a laser
an atom|oxygen|water|gold|a diamond|a hospital|vitamin C|sleep|a dream|happiness|love|philosophy|religion|history|geography
algebra|a triangle|pi|a prime number|calculus|geometry|a poem|a novel|Hamlet|Shakespeare|Mozart|a piano|ballet|a movie|a camera
a car|an airplane|a train|a rocket|Mars|Jupiter|the sun|a comet|a galaxy|the weather|a tornado|snow|a desert|a forest|a river
the Amazon|Mount Everest|Paris|London|Tokyo|France|Germany|Brazil|Egypt|India|a king|a president|a law|a tax|money|a bank|Bitcoin
basketball|tennis|the Olympics|yoga|a marathon|a cat|a dog|a horse|an elephant|a bee|a tree|a flower|a rose|a potato|soup|a cake
chocolate|tea|sugar|salt|a knife|a house|a bridge|a castle|a pyramid|a clock|a telephone|television|the internet|email|a printer
a keyboard|Linux|Windows|JavaScript|HTML|a database|SQL|a compiler|blockchain|encryption|a web browser|a spreadsheet|a school
a brain|blood|cancer|a cold|a headache|medicine|a doctor|a lawyer|a farmer|an engineer|Napoleon|Einstein|Newton|Cleopatra|Gandhi"""  # fmt: skip
NOUNS = [noun for line in NOUNS.splitlines() for noun in line.split("|")]
NOT_KNOWN = """a support vector machine|a decision tree|a random forest|k-means|a Markov chain|Bayes' theorem|a GAN|an autoencoder
Mamba|a state space model|DeepSeek|Claude|Gemini|Grok|Copilot|TensorFlow|JAX|Keras|XGBoost|linear regression|logistic regression
PCA|a Boltzmann machine|AlphaGo|Siri|Alexa|a quantum computer|CUDA|a genetic algorithm|fuzzy logic|an expert system|robotics
AlphaFold|Stable Diffusion|Midjourney|Falcon|BLOOM|PaLM|word2vec|GloVe|ELMo|XLNet|a perceptron|a Hopfield network"""  # fmt: skip
NOT_KNOWN = [noun for line in NOT_KNOWN.splitlines() for noun in line.split("|")]
PLACES = """France|Germany|Italy|Spain|Japan|China|India|Brazil|Canada|Egypt|Kenya|Peru|Norway|Poland|Turkey|Greece|Russia|Mexico
Australia|England|Paris|London|Rome|Berlin|Madrid|Tokyo|New York|Moscow|Cairo|Vienna""".replace("\n", "|").split("|")  # fmt: skip
PEOPLE = """Napoleon|Einstein|Mozart|Shakespeare|Newton|Julius Caesar|Marie Curie|Beethoven|Picasso|Columbus|Lincoln|Darwin|Elvis
the president|the king of England|the pope|your mother|Cleopatra|Gandhi|Homer|Plato""".replace("\n", "|").split("|")  # fmt: skip
ELSEWHERE = """What is the capital of {place}?|Where is {place}?|How many people live in {place}?|Who was {person}?|When was {person} born?
Where did {person} live?|What did {person} do?|Who is {person}?|How old is {person}?|When did {person} die?|What is the population of {place}?
What language do they speak in {place}?|Who wrote {noun}?|How do I make {noun}?|Where can I buy {noun}?|How much is {noun}?
What color is {noun}?|How big is {noun}?|Do you like {noun}?|What is your favourite colour?|What is your opinion on {noun}?
Who won the game?|How do I cook {noun}?|Who discovered {noun}?|Who invented {noun}?|When was {noun} invented?|How far is {place}?
What should I eat today?|Can you recommend a movie?|How do I lose weight?|What is the fastest animal?|How tall is {person}?
Which planet is the largest?|What is the longest river?|How do I get to {place}?|Who is the president of {place}?|Tell me about {place}.
What is the weather in {place}?|Book a flight to {place}.|Play some music.|Turn on the light.|Order {noun}.|Draw {noun}.
Should I buy {noun}?|How many legs does a spider have?|Why is the sky blue?|Why is grass green?|Where do babies come from?
How do planes fly?|How do birds fly?|What do cows eat?|How is {noun} made?|What is the history of {place}?|Is {noun} good for me?
What is the currency of {place}?|When did the war end?|Who painted the Mona Lisa?|What is the meaning of life?|Is there a god?
How do I fix my car?|What should I wear?|How do I learn the guitar?|What does {person} think about {noun}?|Find me a job.
Translate this to French.|Where am I?|Where do you live?|What did you eat?|Are you married?|What is your phone number?
How long does {noun} live?|Name three rivers in {place}.|List the kings of {place}.|What is the best restaurant in {place}?"""  # fmt: skip
ELSEWHERE = [form for line in ELSEWHERE.splitlines() for form in line.split("|")]
SYLLABLES = "ba|bri|cho|dax|dor|fle|gri|gon|hu|jil|ka|kra|lom|mi|nar|ost|pli|qua|rem|shu|tan|tri|ulf|vek|wob|xi|yor|zel|zim|flo|mand|nuk".split("|")
