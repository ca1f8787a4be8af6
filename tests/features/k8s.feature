Feature: Scenarios on pods

  Scenario: Transactions are included though a validator restarts
    Given deployer is "k8s"
    And topology has 3 validators and 0 executors
    And slot duration is 1000 milliseconds
    And run duration is 20 seconds
    And transactions rate is 2 per block using 10 users
    And node "validator-1" is restarted at height 4
    When run scenario
    Then scenario should succeed
