{{- define "sluice.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/component: load-balancer
{{- end }}

{{- define "sluice.serviceAccount" -}}
{{- default (include "sluice.name" .) .Values.serviceAccount.name -}}
{{- end }}
