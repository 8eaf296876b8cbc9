"""What a model card has to say: the 31 source attributes of HTI-1, and the 27 items (52 parts) of TRIPOD+AI.

HTI-1: 45 CFR 170.315(b)(11)(iv)(B)(1) to (9), 89 FR 1192 (9 January 2024), predictive decision support interventions;
in the regulation's order, its numbers and, shortened, its words. TRIPOD+AI: Collins et al., BMJ 2024;385:e078378, the
numbers and topics of its checklist. `answer` names the question a person has to answer (`QUESTIONS`); items without
one are filled from the run.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """One item: its number in its list, what it asks, and the question to a person where the run cannot answer it."""

    number: str
    section: str
    asks: str
    answer: str | None = None


QUESTIONS: dict[str, str] = {
    "developer": "Who developed the model, and how can they be reached?",
    "funding": "Who paid for its development and implementation, and what was their role?",
    "intended_use": "What is it meant to be used for?",
    "intended_users": "Who is meant to use it?",
    "decision_role": "Does it inform, augment or replace a decision, and which one?",
    "out_of_scope": "For which tasks, situations or people must it not be used?",
    "limits": "What are its known risks and limits?",
    "relevance": "How do the people it learned from resemble those it will serve?",
    "fairness_approach": "What has been done to make sure that its output is fair?",
    "bias_management": "How is bias managed, reduced or eliminated?",
    "outcome_evaluation": "Where has the effect of its use on outcomes been evaluated?",
    "validity_monitoring": "How, how often and by whom is its validity monitored?",
    "fairness_monitoring": "How, how often and by whom is its fairness monitored?",
    "update_schedule": "How and how often is it updated?",
    "correction_schedule": "How soon is it corrected when validity or fairness is at risk?",
    "rationale": "Why is it needed, and which models exist for the same purpose?",
    "inequalities": "Which health inequalities are known for this outcome?",
    "data_source": "Where do the data come from, and why these?",
    "setting": "In which care settings and places were they collected?",
    "treatments": "Which treatments did people receive that change the outcome, and how is that dealt with?",
    "outcome_assessment": "Who or what ascertains the outcome, and blind to what?",
    "ethics": "Which body approved the use of the data, and on what basis?",
    "conflicts": "Which conflicts of interest are there?",
    "protocol": "Where is the protocol, if there is one?",
    "registration": "Where is the study registered, if it is?",
    "data_sharing": "Can the data be had, and how?",
    "involvement": "How were patients and the public involved?",
    "interpretation": "What do the results mean, fairness and earlier models considered?",
    "next_steps": "What comes next?",
}

DETAILS = "Details and output"
PURPOSE = "Purpose"
CAUTION = "Cautioned out-of-scope use"
DEVELOPMENT = "Development details and input features"
FAIRNESS = "Fairness in development"
EXTERNAL = "External validation process"
PERFORMANCE = "Quantitative measures of performance"
MAINTENANCE = "Ongoing maintenance"
UPDATE = "Update and continued validation"

HTI1: tuple[Item, ...] = (
    Item("1(i)", DETAILS, "Name and contact information of the developer", "developer"),
    Item("1(ii)", DETAILS, "Funding source of the technical implementation", "funding"),
    Item("1(iii)", DETAILS, "Value that the intervention produces as an output"),
    Item("1(iv)", DETAILS, "Prediction, classification, recommendation, evaluation, analysis or other output"),
    Item("2(i)", PURPOSE, "Intended use", "intended_use"),
    Item("2(ii)", PURPOSE, "Intended patient populations"),
    Item("2(iii)", PURPOSE, "Intended users", "intended_users"),
    Item("2(iv)", PURPOSE, "Intended decision-making role (informs, augments, replaces)", "decision_role"),
    Item("3(i)", CAUTION, "Tasks, situations or populations where use is cautioned against", "out_of_scope"),
    Item("3(ii)", CAUTION, "Known risks, inappropriate settings or uses, and limitations", "limits"),
    Item("4(i)", DEVELOPMENT, "Exclusion and inclusion criteria of the training data"),
    Item("4(ii)", DEVELOPMENT, "Use of the variables of (iv)(A)(5) to (13) as input features"),
    Item("4(iii)", DEVELOPMENT, "Demographic representativeness by those variables"),
    Item("4(iv)", DEVELOPMENT, "Relevance of the training data to the deployed setting", "relevance"),
    Item("5(i)", FAIRNESS, "Approach taken to ensure that the output is fair", "fairness_approach"),
    Item("5(ii)", FAIRNESS, "Approaches to manage, reduce or eliminate bias", "bias_management"),
    Item("6(i)", EXTERNAL, "Source, setting or environment of external data"),
    Item("6(ii)", EXTERNAL, "Party that conducted the external testing"),
    Item("6(iii)", EXTERNAL, "Demographic representativeness of external data"),
    Item("6(iv)", EXTERNAL, "Process of external validation"),
    Item("7(i)", PERFORMANCE, "Validity in test data from the same source as the training data"),
    Item("7(ii)", PERFORMANCE, "Fairness in test data from the same source as the training data"),
    Item("7(iii)", PERFORMANCE, "Validity in data external to the training data"),
    Item("7(iv)", PERFORMANCE, "Fairness in data external to the training data"),
    Item("7(v)", PERFORMANCE, "References to evaluation of use on outcomes", "outcome_evaluation"),
    Item("8(i)", MAINTENANCE, "Process and frequency of monitoring validity over time", "validity_monitoring"),
    Item("8(ii)", MAINTENANCE, "Validity in local data"),
    Item("8(iii)", MAINTENANCE, "Process and frequency of monitoring fairness over time", "fairness_monitoring"),
    Item("8(iv)", MAINTENANCE, "Fairness in local data"),
    Item("9(i)", UPDATE, "Process and frequency of updating", "update_schedule"),
    Item("9(ii)", UPDATE, "How often performance is corrected when risks are identified", "correction_schedule"),
)

TITLE, INTRODUCTION = "Title and abstract", "Introduction"
METHODS, OPEN, INVOLVEMENT = "Methods", "Open science", "Patient and public involvement"
RESULTS, DISCUSSION = "Results", "Discussion"

TRIPOD_AI: tuple[Item, ...] = (
    Item("1", TITLE, "Title: model, population and outcome"),
    Item("2", TITLE, "Abstract"),
    Item("3a", INTRODUCTION, "Healthcare context and rationale, existing models", "rationale"),
    Item("3b", INTRODUCTION, "Target population, place in the care pathway, users", "intended_use"),
    Item("3c", INTRODUCTION, "Known health inequalities", "inequalities"),
    Item("4", INTRODUCTION, "Objectives: development, evaluation, or both"),
    Item("5a", METHODS, "Data: sources, rationale, representativeness", "data_source"),
    Item("5b", METHODS, "Data: dates of accrual and of the end of follow-up"),
    Item("6a", METHODS, "Participants: setting, number and place of centres", "setting"),
    Item("6b", METHODS, "Participants: eligibility"),
    Item("6c", METHODS, "Participants: treatments", "treatments"),
    Item("7", METHODS, "Data preparation"),
    Item("8a", METHODS, "Outcome: definition, horizon, how assessed"),
    Item("8b", METHODS, "Outcome: who assessed it", "outcome_assessment"),
    Item("8c", METHODS, "Outcome: blinding"),
    Item("9a", METHODS, "Predictors: choice"),
    Item("9b", METHODS, "Predictors: definition and time of measurement"),
    Item("9c", METHODS, "Predictors: who assessed them"),
    Item("10", METHODS, "Sample size"),
    Item("11", METHODS, "Missing data"),
    Item("12a", METHODS, "Analysis: use and partition of the data"),
    Item("12b", METHODS, "Analysis: handling of predictors"),
    Item("12c", METHODS, "Analysis: type of model, building steps, tuning, internal validation"),
    Item("12d", METHODS, "Analysis: heterogeneity across clusters"),
    Item("12e", METHODS, "Analysis: measures of performance"),
    Item("12f", METHODS, "Analysis: model updating"),
    Item("12g", METHODS, "Analysis: how predictions were calculated"),
    Item("13", METHODS, "Class imbalance"),
    Item("14", METHODS, "Fairness", "fairness_approach"),
    Item("15", METHODS, "Model output"),
    Item("16", METHODS, "Differences between training and evaluation data"),
    Item("17", METHODS, "Ethical approval", "ethics"),
    Item("18a", OPEN, "Funding", "funding"),
    Item("18b", OPEN, "Conflicts of interest", "conflicts"),
    Item("18c", OPEN, "Protocol", "protocol"),
    Item("18d", OPEN, "Registration", "registration"),
    Item("18e", OPEN, "Data sharing", "data_sharing"),
    Item("18f", OPEN, "Code sharing"),
    Item("19", INVOLVEMENT, "Patient and public involvement", "involvement"),
    Item("20a", RESULTS, "Flow of participants, outcomes, follow-up"),
    Item("20b", RESULTS, "Characteristics of participants"),
    Item("20c", RESULTS, "Comparison with the development data"),
    Item("21", RESULTS, "Participants and events in each analysis"),
    Item("22", RESULTS, "Full specification of the model"),
    Item("23a", RESULTS, "Performance with intervals, subgroups included"),
    Item("23b", RESULTS, "Heterogeneity in performance"),
    Item("24", RESULTS, "Results of model updating"),
    Item("25", DISCUSSION, "Interpretation", "interpretation"),
    Item("26", DISCUSSION, "Limitations", "limits"),
    Item("27a", DISCUSSION, "Use: poor or missing input"),
    Item("27b", DISCUSSION, "Use: interaction and expertise needed", "intended_users"),
    Item("27c", DISCUSSION, "Next steps", "next_steps"),
)
